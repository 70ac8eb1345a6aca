variables {
  name              = "parley-test"
  access_log_bucket = "parley-test-access"
}

run "private_encrypted_versioned" {
  command = apply

  assert {
    condition     = aws_s3_bucket_public_access_block.this.block_public_policy && aws_s3_bucket_public_access_block.this.restrict_public_buckets
    error_message = "Nothing here is ever public."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default[0].kms_master_key_id == aws_kms_key.this.arn
    error_message = "Its own key."
  }

  assert {
    condition     = one([for s in jsondecode(aws_s3_bucket_policy.this.policy).Statement : s.Effect if s.Sid == "NothingInTheClear"]) == "Deny"
    error_message = "TLS or nothing."
  }

  assert {
    condition     = length(aws_s3_bucket_lifecycle_configuration.this.rule[0].expiration) == 0
    error_message = "By default audio is kept."
  }
}

run "refuses_no_prefix" {
  command = plan

  variables {
    prefix = "/"
  }

  expect_failures = [var.prefix]
}
