variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "network" {
  description = "Network and the subnets the machines stand in."
  type = object({
    vpc_id             = string
    private_subnet_ids = list(string)
  })
}

variable "client_security_group_id" {
  description = "Group of those who may ask: the gateway's tasks."
  type        = string
}

variable "image" {
  description = "Image of the worker, built for CUDA, with its tag or digest."
  type        = string

  validation {
    condition     = can(regex("(:[^/]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image carries a tag other than latest, or a digest, so that it is known what runs."
  }
}

variable "instance_type" {
  description = "Machine with one NVIDIA GPU."
  type        = string
  default     = "g6.xlarge"

  validation {
    condition     = can(regex("^(g4dn|g5|g6|g6e)\\.(xlarge|2xlarge)$", var.instance_type))
    error_message = "instance_type is an xlarge or 2xlarge of g4dn, g5, g6 or g6e: one GPU each."
  }
}

variable "disk_gib" {
  description = "Disk of a machine, in GiB: the image of the machine takes 30, that of the worker with its models 15."
  type        = number
  default     = 80

  validation {
    condition     = var.disk_gib >= 60
    error_message = "disk_gib is 60 at least."
  }
}

variable "memory" {
  description = "Memory promised to a worker, in MiB."
  type        = number
  default     = 12288

  validation {
    condition     = var.memory >= 4096
    error_message = "memory is 4096 MiB at least."
  }
}

variable "max_workers" {
  description = "Most workers at once; with nobody talking there is none."
  type        = number
  default     = 2

  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 10
    error_message = "max_workers is 1 to 10."
  }
}

variable "sessions_per_worker" {
  description = "Sessions after which one more worker comes."
  type        = number
  default     = 100

  validation {
    condition     = var.sessions_per_worker >= 1
    error_message = "sessions_per_worker is 1 at least."
  }
}

variable "idle_minutes" {
  description = "Minutes without a session after which the last worker goes."
  type        = number
  default     = 15

  validation {
    condition     = var.idle_minutes >= 5 && var.idle_minutes <= 60
    error_message = "idle_minutes is 5 to 60."
  }
}

variable "metric_namespace" {
  description = "Where the gateway's metric `Sessions` is found."
  type        = string
}

variable "port" {
  description = "Port the workers listen on."
  type        = number
  default     = 8001

  validation {
    condition     = var.port >= 1024 && var.port <= 65535
    error_message = "The image runs without root: port is 1024 or above."
  }
}

variable "key_secret_arn" {
  description = "Secret with the key that workers ask for and gateways send, `PARLEY_WORKER_KEY`."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:secretsmanager:", var.key_secret_arn))
    error_message = "key_secret_arn is the ARN of a secret: a worker without a key serves whoever reaches it."
  }
}

variable "environment" {
  description = "Further settings, by variable name."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.environment), ["PARLEY_AUTH", "PARLEY_WORKER_KEY"])) == 0
    error_message = "Workers ask for the key in key_secret_arn: neither PARLEY_AUTH nor PARLEY_WORKER_KEY is set here."
  }
}

variable "start_role_arn" {
  description = "Role that pulls the image and opens the log. The worker's code has no role: it needs nothing from AWS."
  type        = string
}

variable "log_group_name" {
  description = "Log group of the workers."
  type        = string
}
