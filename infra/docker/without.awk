# The requirements on standard input, with their hashes, but without the packages named in `without`.
BEGIN { count = split(without, names, " "); for (i = 1; i <= count; i++) left_out[names[i]] = 1 }
/^[A-Za-z0-9]/ { split($0, parts, "[=<>!~ ;[]"); skipping = (parts[1] in left_out) }
!skipping
