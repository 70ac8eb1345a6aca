variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "repository_arns" {
  description = "Image repositories (ECR) the tasks are pulled from; empty where the image is public."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.repository_arns : can(regex("^arn:[^:]+:ecr:", arn))])
    error_message = "repository_arns are ARNs of ECR repositories."
  }
}

variable "tasks" {
  description = "Each kind of task, with the log group it writes to and the secrets that are put into its environment, and no others."
  type = map(object({
    log_group_arn = string
    secret_arns   = list(string)
  }))
}

variable "archive" {
  description = "The bucket, the prefix in it that is the gateway's own, and the key it is encrypted with; null where audio goes elsewhere."
  type = object({
    bucket_arn = string
    prefix     = string
    key_arn    = string
  })
  default = null

  validation {
    condition     = var.archive == null || try(can(regex("^[^/*].*/$", var.archive.prefix)), false)
    error_message = "archive.prefix names a folder and ends with a slash, such as `audio/`: never the whole bucket."
  }
}

variable "azure_audience" {
  description = "Audience of the tokens the gateway shows to Azure; null where it does not go there."
  type        = string
  default     = null
}
