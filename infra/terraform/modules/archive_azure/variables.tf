variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "location" {
  description = "Azure region the recordings lie in."
  type        = string
  default     = "westeurope"

  validation {
    condition     = can(regex("^[a-z]+[a-z0-9]*$", var.location))
    error_message = "location is the short name of an Azure region, such as westeurope."
  }
}

variable "replication" {
  description = "Copies: LRS in one building, ZRS in three, GRS in two regions."
  type        = string
  default     = "ZRS"

  validation {
    condition     = contains(["LRS", "ZRS", "GRS", "GZRS"], var.replication)
    error_message = "replication is LRS, ZRS, GRS or GZRS."
  }
}

variable "allowed_ips" {
  description = "Addresses requests may come from: those of the gateway's NAT gateways."
  type        = list(string)

  validation {
    condition     = length(var.allowed_ips) > 0
    error_message = "allowed_ips names one address at least; nobody else gets in."
  }
}

variable "gateway_role_arn" {
  description = "AWS role of the gateway, which Azure is to trust."
  type        = string
}

variable "issuer" {
  description = "Address at which this AWS account vouches for its roles; null turns that on for the account and takes it from there."
  type        = string
  default     = null
}

variable "cool_after_days" {
  description = "Days after which audio moves to the cheaper class for what is seldom read."
  type        = number
  default     = 30

  validation {
    condition     = var.cool_after_days >= 1
    error_message = "cool_after_days is 1 at least."
  }
}

variable "delete_after_days" {
  description = "Days after which audio is deleted; 0 keeps it."
  type        = number
  default     = 0

  validation {
    condition     = var.delete_after_days == 0 || var.delete_after_days > var.cool_after_days
    error_message = "delete_after_days is 0, or later than cool_after_days."
  }
}

variable "recoverable_days" {
  description = "Days a deleted recording can be brought back."
  type        = number
  default     = 7

  validation {
    condition     = var.recoverable_days >= 1 && var.recoverable_days <= 365
    error_message = "recoverable_days is 1 to 365."
  }
}
