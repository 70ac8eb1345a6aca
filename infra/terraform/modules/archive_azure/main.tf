data "azurerm_client_config" "this" {}

locals {
  audience  = "api://AzureADTokenExchange"
  container = "audio"
}

resource "azurerm_resource_group" "this" {
  name     = var.name
  location = var.location
}

# The name of an account is unique in the whole world.
resource "random_string" "this" {
  length  = 6
  upper   = false
  special = false
}

resource "azurerm_storage_account" "this" {
  #checkov:skip=CKV_AZURE_36:no service of Microsoft's has business with these recordings, trusted or not
  #checkov:skip=CKV_AZURE_33:there are no queues
  #checkov:skip=CKV_AZURE_59:the gateway stands in another cloud and comes over the internet; the firewall lets its addresses in and nobody else
  #checkov:skip=CKV_AZURE_206:how many copies is a variable; the default is three buildings of one region
  #checkov:skip=CKV2_AZURE_1:Microsoft's key encrypts; a key of one's own would be one more thing whose loss loses every recording
  #checkov:skip=CKV2_AZURE_33:a private endpoint is reached from an Azure network, and the gateway is in none
  #checkov:skip=CKV2_AZURE_41:sas_policy blocks all that would live longer than an hour; the check stumbles over an expression beside it
  name                              = "${substr(replace(var.name, "-", ""), 0, 18)}${random_string.this.result}"
  resource_group_name               = azurerm_resource_group.this.name
  location                          = azurerm_resource_group.this.location
  account_kind                      = "StorageV2"
  account_tier                      = "Standard"
  account_replication_type          = var.replication
  access_tier                       = "Hot"
  min_tls_version                   = "TLS1_2"
  https_traffic_only_enabled        = true
  allow_nested_items_to_be_public   = false
  cross_tenant_replication_enabled  = false
  shared_access_key_enabled         = false
  default_to_oauth_authentication   = true
  local_user_enabled                = false
  infrastructure_encryption_enabled = true
  public_network_access_enabled     = true

  network_rules {
    default_action = "Deny"
    bypass         = ["None"]
    ip_rules       = var.allowed_ips
  }

  blob_properties {
    delete_retention_policy {
      days = var.recoverable_days
    }

    container_delete_retention_policy {
      days = var.recoverable_days
    }
  }

  sas_policy {
    expiration_period = "00.01:00:00"
    expiration_action = "Block"
  }
}

resource "azurerm_storage_container" "this" {
  #checkov:skip=CKV2_AZURE_21:requests are counted by the account's own metrics; the gateway records each session in its manifest
  name                  = local.container
  storage_account_id    = azurerm_storage_account.this.id
  container_access_type = "private"
}

resource "azurerm_storage_management_policy" "this" {
  storage_account_id = azurerm_storage_account.this.id

  rule {
    name    = "age"
    enabled = true

    filters {
      blob_types   = ["blockBlob"]
      prefix_match = ["${local.container}/"]
    }

    actions {
      base_blob {
        tier_to_cool_after_days_since_modification_greater_than = var.cool_after_days
        delete_after_days_since_modification_greater_than       = var.delete_after_days == 0 ? null : var.delete_after_days
      }
    }
  }
}

# -- AWS signs who the gateway is, Azure believes that one role: no key exists that a state could hold ----

resource "aws_iam_outbound_web_identity_federation" "this" {
  count = var.issuer == null ? 1 : 0
}

resource "azurerm_user_assigned_identity" "this" {
  name                = "${var.name}-gateway"
  resource_group_name = azurerm_resource_group.this.name
  location            = azurerm_resource_group.this.location
}

resource "azurerm_federated_identity_credential" "this" {
  name                      = "aws"
  user_assigned_identity_id = azurerm_user_assigned_identity.this.id
  issuer                    = coalesce(var.issuer, one(aws_iam_outbound_web_identity_federation.this[*].issuer_identifier))
  subject                   = var.gateway_role_arn
  audience                  = [local.audience]
}

resource "azurerm_role_assignment" "this" {
  scope                = azurerm_storage_container.this.id
  role_definition_name = "Storage Blob Data Contributor"
  principal_id         = azurerm_user_assigned_identity.this.principal_id
  principal_type       = "ServicePrincipal"
}
