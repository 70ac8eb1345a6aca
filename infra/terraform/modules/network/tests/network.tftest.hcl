variables {
  name               = "parley-test"
  flow_log_group_arn = "arn:aws:logs:eu-central-1:123456789012:log-group:/parley-test/flow"
}

run "single_nat_by_default" {
  command = apply

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_route.nat) == 2
    error_message = "Both zones leave through one NAT gateway."
  }

  assert {
    condition     = alltrue([for subnet in aws_subnet.public : subnet.map_public_ip_on_launch == false])
    error_message = "Nothing gets a public address by standing in a subnet."
  }

  assert {
    condition     = length(setintersection([for s in aws_subnet.public : s.cidr_block], [for s in aws_subnet.private : s.cidr_block])) == 0
    error_message = "Subnets do not overlap."
  }
}

run "a_nat_gateway_in_each_zone" {
  command = apply

  variables {
    zones               = ["a", "b", "c"]
    nat                 = "per_zone"
    interface_endpoints = ["polly"]
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3 && length(output.nat_public_ips) == 3
    error_message = "Each zone has its own way out."
  }

  assert {
    condition     = aws_vpc_endpoint.interface["polly"].service_name == "com.amazonaws.eu-central-1.polly"
    error_message = "The endpoint is that of the region."
  }
}

run "refuses_one_zone" {
  command = plan

  variables {
    zones = ["a"]
  }

  expect_failures = [var.zones]
}

run "refuses_a_range_too_small" {
  command = plan

  variables {
    cidr = "10.0.0.0/24"
  }

  expect_failures = [var.cidr]
}
