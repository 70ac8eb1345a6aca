terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "6.47.0"
    }
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "4.79.0"
    }
    random = {
      source  = "hashicorp/random"
      version = "3.7.2"
    }
  }

  # The bucket is named at `terraform init -backend-config=backend.hcl`; see ../../README.md.
  backend "s3" {
    key          = "parley/prod.tfstate"
    encrypt      = true
    use_lockfile = true
  }
}
