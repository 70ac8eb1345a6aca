output "azure" {
  description = "Identity for the gateway."
  value = {
    audience  = local.audience
    client_id = azurerm_user_assigned_identity.this.client_id
    tenant_id = data.azurerm_client_config.this.tenant_id
  }
}

output "audience" {
  description = "Audience of the tokens; known before anything is made, so that the gateway's role can be made first."
  value       = local.audience
}

output "environment" {
  description = "Settings that send the gateway's audio here."
  value = {
    PARLEY_BLOB_STORE        = "azure"
    PARLEY_AZURE_ACCOUNT_URL = azurerm_storage_account.this.primary_blob_endpoint
    PARLEY_AZURE_CONTAINER   = azurerm_storage_container.this.name
  }
}
