variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "prefix" {
  description = "Folder in the bucket that is the gateway's own."
  type        = string
  default     = "audio/"

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9/_-]*/$", var.prefix))
    error_message = "prefix is a folder and ends with a slash, such as `audio/`."
  }
}

variable "infrequent_after_days" {
  description = "Days after which audio moves to the cheaper class for what is seldom read; S3 asks for 30 at least."
  type        = number
  default     = 30

  validation {
    condition     = var.infrequent_after_days >= 30
    error_message = "S3 moves nothing before 30 days."
  }
}

variable "delete_after_days" {
  description = "Days after which audio is deleted for good; 0 keeps it."
  type        = number
  default     = 0

  validation {
    condition     = var.delete_after_days == 0 || var.delete_after_days > var.infrequent_after_days
    error_message = "delete_after_days is 0, or later than infrequent_after_days."
  }
}

variable "access_log_bucket" {
  description = "Bucket that takes a line for every request."
  type        = string
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete recordings with the bucket."
  type        = bool
  default     = false
}
