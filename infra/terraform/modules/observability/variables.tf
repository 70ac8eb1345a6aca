variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "retention_days" {
  description = "Days logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365, 400], var.retention_days)
    error_message = "retention_days is 7, 14, 30, 60, 90, 180, 365 or 400."
  }
}

variable "email" {
  description = "Who is told of an alarm; null tells nobody, and the alarms are seen on the dashboard."
  type        = string
  default     = null

  validation {
    condition     = var.email == null || can(regex("^[^@ ]+@[^@ ]+$", var.email))
    error_message = "email is an address, or null."
  }
}

variable "gateway" {
  description = "Names under which the gateway's signals are found."
  type = object({
    namespace    = string
    cluster      = string
    service      = string
    lb           = string
    target_group = string
  })
}

variable "database" {
  description = "Name of the database; null where there is none."
  type        = string
  default     = null
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete access logs with their bucket."
  type        = bool
  default     = false
}
