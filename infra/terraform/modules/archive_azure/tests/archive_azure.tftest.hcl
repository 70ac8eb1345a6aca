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
    condition     = azurerm_federated_identity_credential.this[0].subject == var.gateway_role_arn && azurerm_federated_identity_credential.this[0].issuer == aws_iam_outbound_web_identity_federation.this[0].issuer_identifier
    error_message = "Azure believes AWS about this role."
  }

  assert {
    condition     = azurerm_storage_account.this.shared_access_key_enabled == false && length(aws_secretsmanager_secret.this) == 0 && length(output.secrets) == 0
    error_message = "There is no secret."
  }

  assert {
    condition     = azurerm_role_assignment.this[0].scope == azurerm_storage_container.this.id
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

run "a_secret_where_one_may_not_federate" {
  command = apply

  variables {
    identity = "secret"
  }

  assert {
    condition     = length(azurerm_federated_identity_credential.this) == 0 && contains(keys(output.secrets), "PARLEY_AZURE_CONNECTION_STRING") && output.azure == null && output.audience == null
    error_message = "Then a secret, and no token."
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
