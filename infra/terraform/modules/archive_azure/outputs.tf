output "azure" {
  description = "Identity for the gateway; null where it has a secret."
  value = local.federated ? {
    audience  = local.audience
    client_id = azurerm_user_assigned_identity.this[0].client_id
    tenant_id = data.azurerm_client_config.this.tenant_id
  } : null
}

output "audience" {
  description = "Audience of the tokens; known before anything is made, so that the gateway's role can be made first."
  value       = local.federated ? local.audience : null
}

output "environment" {
  description = "Settings that send the gateway's audio here."
  value = {
    PARLEY_BLOB_STORE        = "azure"
    PARLEY_AZURE_ACCOUNT_URL = azurerm_storage_account.this.primary_blob_endpoint
    PARLEY_AZURE_CONTAINER   = azurerm_storage_container.this.name
  }
}

output "secrets" {
  description = "Setting of the gateway, and the ARN of the secret that holds it; empty where the identity is federated."
  value       = local.federated ? {} : { PARLEY_AZURE_CONNECTION_STRING = aws_secretsmanager_secret.this[0].arn }
}
