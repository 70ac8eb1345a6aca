variables {
  name                     = "parley-test"
  client_security_group_id = "sg-1"
  network = {
    vpc_id             = "vpc-1"
    private_subnet_ids = ["subnet-3", "subnet-4"]
  }
}

run "closed_and_encrypted" {
  command = apply

  assert {
    condition     = !aws_db_instance.this.publicly_accessible && aws_db_instance.this.storage_encrypted
    error_message = "Private and encrypted."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.this.referenced_security_group_id == "sg-1" && aws_vpc_security_group_ingress_rule.this.from_port == 5432
    error_message = "The gateway alone asks."
  }

  assert {
    condition     = aws_db_instance.this.password == null && aws_secretsmanager_secret_version.this.secret_string == null
    error_message = "The password is in no state."
  }
}
