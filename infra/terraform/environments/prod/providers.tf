provider "aws" {
  region = var.region

  default_tags {
    tags = { Service = "parley", Environment = "prod" }
  }
}

provider "azurerm" {
  subscription_id     = var.azure_subscription_id
  storage_use_azuread = true

  features {}
}
