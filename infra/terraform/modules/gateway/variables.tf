variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

# Where it stands

variable "network" {
  description = "Network, its range, and the subnets for the load balancer and for the tasks."
  type = object({
    vpc_id             = string
    cidr               = string
    public_subnet_ids  = list(string)
    private_subnet_ids = list(string)
  })
}

variable "ingress_cidrs" {
  description = "Who may connect, as IPv4 ranges."
  type        = set(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.ingress_cidrs) > 0 && alltrue([for range in var.ingress_cidrs : can(cidrhost(range, 0))])
    error_message = "ingress_cidrs are IPv4 ranges, such as 203.0.113.0/24."
  }
}

variable "operator_cidrs" {
  description = "Ranges from which operators reach the private listener, with `/admin`, `/policy` and `/metrics`; empty: there is none."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for range in var.operator_cidrs : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "operator_cidrs are IPv4 ranges, such as 203.0.113.0/24, and never everybody."
  }
}

variable "operator_port" {
  description = "Port of the private listener."
  type        = number
  default     = 8443

  validation {
    condition     = !contains([80, 443], var.operator_port) && var.operator_port >= 1 && var.operator_port <= 65535
    error_message = "operator_port is a port, and neither 80 nor 443."
  }
}

variable "web_acl_arn" {
  description = "Firewall for web requests (WAF) in front of the load balancer; null: none."
  type        = string
  default     = null

  validation {
    condition     = var.web_acl_arn == null || can(regex("^arn:[^:]+:wafv2:", var.web_acl_arn))
    error_message = "web_acl_arn is the ARN of a WAFv2 web ACL of this region."
  }
}

variable "egress" {
  description = "What tasks may connect to, besides port 443 everywhere and the receiver that the settings name: a TCP port, and the range it is in, which is the network's where there is none."
  type = map(object({
    port = number
    cidr = optional(string)
  }))
  default = { database = { port = 5432 } }

  validation {
    condition     = alltrue([for each in var.egress : each.port >= 1 && each.port <= 65535 && (each.cidr == null || can(cidrhost(each.cidr, 0)))])
    error_message = "egress names ports and IPv4 ranges, such as { port = 5001, cidr = \"10.9.0.0/16\" }."
  }
}

variable "domain" {
  description = "Name people connect to, such as `voice.example.org`."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain is a full host name in lower case, such as voice.example.org."
  }
}

variable "zone_id" {
  description = "Route 53 zone the name is written into, and the certificate proven with; null where DNS and certificate are kept elsewhere."
  type        = string
  default     = null
}

variable "certificate_arn" {
  description = "Certificate for the name; null has one issued, which needs zone_id."
  type        = string
  default     = null

  validation {
    condition     = var.certificate_arn != null || var.zone_id != null
    error_message = "Without zone_id a certificate cannot be issued: give certificate_arn."
  }
}

variable "access_log_bucket" {
  description = "Bucket that takes the load balancer's access log."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the load balancer refuses to be deleted."
  type        = bool
  default     = true
}

# What runs

variable "image" {
  description = "Image of the gateway, with its tag or digest."
  type        = string

  validation {
    condition     = can(regex("(:[^/]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image carries a tag other than latest, or a digest, so that it is known what runs."
  }
}

variable "token_image" {
  description = "Image of the AWS command line, which fetches tokens for Azure."
  type        = string
  default     = "public.ecr.aws/aws-cli/aws-cli:2.32.3"
}

variable "cpu_architecture" {
  description = "Processor the image was built for: `ARM64` or `X86_64`."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture is ARM64 or X86_64."
  }
}

variable "cpu" {
  description = "Processor units of a task; 1024 are one virtual processor."
  type        = number
  default     = 4096

  validation {
    condition     = contains([1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu is 1024, 2048, 4096, 8192 or 16384."
  }
}

variable "memory" {
  description = "Memory of a task, in MiB."
  type        = number
  default     = 8192

  validation {
    condition     = var.memory >= 2 * var.cpu && var.memory <= 8 * var.cpu
    error_message = "Fargate gives each processor unit 2 to 8 MiB."
  }
}

variable "storage_gib" {
  description = "Disk of a task, in GiB: audio waits here until the archive has it."
  type        = number
  default     = 30

  validation {
    condition     = var.storage_gib >= 21 && var.storage_gib <= 200
    error_message = "Fargate gives a task 21 to 200 GiB."
  }
}

variable "port" {
  description = "Port the gateway listens on."
  type        = number
  default     = 8000

  validation {
    condition     = var.port >= 1024 && var.port <= 65535
    error_message = "The image runs without root: port is 1024 or above."
  }
}

variable "max_sessions" {
  description = "Sessions a task takes at once."
  type        = number
  default     = 32

  validation {
    condition     = var.max_sessions >= 1
    error_message = "max_sessions is 1 at least."
  }
}

variable "allowed_origins" {
  description = "Web pages elsewhere that may connect; the gateway's own page always may."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for origin in var.allowed_origins : can(regex("^https?://[^/]+$", origin))])
    error_message = "An origin is scheme and host, such as https://app.example.org, with no path."
  }
}

variable "environment" {
  description = "Further settings, by variable name."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.environment), ["HOST", "PORT", "PARLEY_ALLOWED_ORIGINS", "PARLEY_HOST", "PARLEY_MAX_SESSIONS", "PARLEY_PORT", "PARLEY_ROUTES", "PARLEY_SERVER_NAMES"])) == 0
    error_message = "PARLEY_HOST, PARLEY_PORT, PARLEY_MAX_SESSIONS, PARLEY_ALLOWED_ORIGINS, PARLEY_SERVER_NAMES (domain) and PARLEY_ROUTES have variables of their own."
  }
}

variable "routes" {
  description = "The routes finals may take, as TOML; null knows only the model in the task itself."
  type        = string
  default     = null
}

variable "secrets" {
  description = "Settings kept in Secrets Manager: ARN of the secret, by variable name."
  type        = map(string)
  default     = {}
}

variable "azure" {
  description = "Identity shown to Azure with short-lived tokens; null where there is none."
  type = object({
    audience  = string
    client_id = string
    tenant_id = string
  })
  default = null
}

variable "task_role_arn" {
  description = "Role the code runs as."
  type        = string
}

variable "start_role_arn" {
  description = "Role that pulls the image, reads the secrets and opens the log."
  type        = string
}

variable "log_group_name" {
  description = "Log group of the gateway."
  type        = string
}

# How it comes and goes

variable "idle_timeout_seconds" {
  description = "Silence after which the load balancer cuts a connection; the gateway pings every 20 seconds."
  type        = number
  default     = 120

  validation {
    condition     = var.idle_timeout_seconds >= 60 && var.idle_timeout_seconds <= 4000
    error_message = "idle_timeout_seconds is 60 to 4000: well above the 20 seconds between two pings."
  }
}

variable "talk_on_seconds" {
  description = "How long sessions on a task that is to go may talk on before it is told to stop (deregistration delay)."
  type        = number
  default     = 600

  validation {
    condition     = var.talk_on_seconds >= 0 && var.talk_on_seconds <= 3600
    error_message = "talk_on_seconds is 0 to 3600."
  }
}

variable "stop_timeout_seconds" {
  description = "How long a task may take to stop once told: 12 seconds for turns, 20 for the last words, 10 for their archive."
  type        = number
  default     = 60

  validation {
    condition     = var.stop_timeout_seconds >= 45 && var.stop_timeout_seconds <= 120
    error_message = "stop_timeout_seconds is 45 to 120: the gateway drains for 42, and Fargate waits for 120 at most."
  }
}

variable "tasks" {
  description = "Fewest and most tasks."
  type = object({
    min = number
    max = number
  })
  default = { min = 2, max = 10 }

  validation {
    condition     = var.tasks.min >= 1 && var.tasks.max >= var.tasks.min
    error_message = "tasks.min is 1 at least, and tasks.max no less."
  }
}

variable "occupancy_target" {
  description = "Share of a task's places, in percent, that should be taken on average."
  type        = number
  default     = 60

  validation {
    condition     = var.occupancy_target >= 10 && var.occupancy_target <= 90
    error_message = "occupancy_target is 10 to 90 percent: the rest is room for those who come while a task starts."
  }
}

variable "cpu_target" {
  description = "Processor use, in percent, that should be reached on average."
  type        = number
  default     = 60

  validation {
    condition     = var.cpu_target >= 10 && var.cpu_target <= 90
    error_message = "cpu_target is 10 to 90 percent."
  }
}
