variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "network" {
  description = "Network and the subnets the database stands in."
  type = object({
    vpc_id             = string
    private_subnet_ids = list(string)
  })
}

variable "client_security_group_id" {
  description = "Group of those who may ask: the gateway's tasks."
  type        = string
}

variable "instance_class" {
  description = "Size of the database's machine."
  type        = string
  default     = "db.t4g.micro"

  validation {
    condition     = can(regex("^db\\.[a-z0-9]+\\.[a-z0-9]+$", var.instance_class))
    error_message = "instance_class is a class of RDS, such as db.t4g.micro."
  }
}

variable "multi_az" {
  description = "Whether a second machine in another zone takes over when the first is lost."
  type        = bool
  default     = false
}

variable "storage_gib" {
  description = "Disk at the beginning, in GiB; it grows to ten times that by itself."
  type        = number
  default     = 20

  validation {
    condition     = var.storage_gib >= 20
    error_message = "storage_gib is 20 at least."
  }
}

variable "backup_days" {
  description = "Days a backup is kept."
  type        = number
  default     = 7

  validation {
    condition     = var.backup_days >= 1 && var.backup_days <= 35
    error_message = "backup_days is 1 to 35."
  }
}

variable "deletion_protection" {
  description = "Whether the database refuses to be deleted, and leaves a last snapshot when it is."
  type        = bool
  default     = true
}

variable "password_version" {
  description = "Raise it to have a new password made and written to database and secret."
  type        = number
  default     = 2

  validation {
    condition     = var.password_version >= 1
    error_message = "password_version is 1 or above."
  }
}
