provider "azurerm" {
  subscription_id = "00000000-0000-0000-0000-000000000000"

  features {}
}

variables {
  name             = "parley-test"
  allowed_ips      = ["198.51.100.7"]
  gateway_role_arn = "arn:aws:iam::123456789012:role/parley-test-gateway"
}

run "one_role_is_trusted_and_no_key" {
  command = apply

  assert {
    condition     = azurerm_federated_identity_credential.this.subject == var.gateway_role_arn && azurerm_federated_identity_credential.this.issuer == aws_iam_outbound_web_identity_federation.this[0].issuer_identifier
    error_message = "Azure believes AWS about this role."
  }

  assert {
    condition     = azurerm_storage_account.this.shared_access_key_enabled == false
    error_message = "The keys that the state has open nothing."
  }

  assert {
    condition     = azurerm_role_assignment.this.scope == azurerm_storage_container.this.id
    error_message = "For the container alone."
  }
}

run "nobody_else_gets_in" {
  command = apply

  assert {
    condition     = azurerm_storage_account.this.network_rules[0].default_action == "Deny" && azurerm_storage_account.this.allow_nested_items_to_be_public == false && azurerm_storage_container.this.container_access_type == "private"
    error_message = "Private, behind a firewall."
  }
}

run "refuses_to_delete_before_it_cools" {
  command = plan

  variables {
    cool_after_days   = 30
    delete_after_days = 10
  }

  expect_failures = [var.delete_after_days]
}
