variable "region" {
  description = "AWS region everything runs in; Transcribe streaming and Polly's neural voices must be there."
  type        = string
  default     = "eu-central-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is a region of AWS, such as eu-central-1."
  }
}

variable "domain" {
  description = "Name people connect to, such as `voice.example.org`."
  type        = string
}

variable "zone_id" {
  description = "Route 53 zone the name belongs to."
  type        = string
}

variable "image" {
  description = "Image of the gateway, with its tag or digest; models baked in."
  type        = string
}

variable "cpu_architecture" {
  description = "Processor the image was built for: `ARM64` or `X86_64`."
  type        = string
  default     = "X86_64"
}

variable "worker_image" {
  description = "Image of the worker for CUDA; null runs no workers."
  type        = string
  default     = null
}

variable "repository_arns" {
  description = "ECR repositories the images are pulled from."
  type        = list(string)
  default     = []
}

variable "allowed_origins" {
  description = "Web pages elsewhere that may connect; the gateway's own page always may."
  type        = list(string)
  default     = []
}

variable "settings" {
  description = "Further settings of the gateway, by variable name."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Settings of the gateway kept in Secrets Manager: ARN of the secret, by variable name; `PARLEY_ADMIN_KEY` at least, 32 random characters or more."
  type        = map(string)
  default     = {}

  validation {
    condition     = var.worker_image == null || contains(keys(var.secrets), "PARLEY_WORKER_KEY")
    error_message = "secrets has no PARLEY_WORKER_KEY, which the workers of worker_image ask for."
  }

  validation {
    condition     = contains(keys(var.secrets), "PARLEY_ADMIN_KEY") || lookup(var.settings, "PARLEY_AUTH", "auto") == "none"
    error_message = "secrets has no PARLEY_ADMIN_KEY, so that nobody could connect; PARLEY_AUTH = \"none\" in settings serves everybody."
  }
}

variable "operator_cidrs" {
  description = "Ranges from which operators reach the private listener on port 8443; empty: there is none."
  type        = set(string)
  default     = []
}

variable "web_acl_arn" {
  description = "Firewall for web requests (WAF) in front of the load balancer, such as the one in modules/gateway/README.md; null: none."
  type        = string
  default     = null
}

variable "egress" {
  description = "What else the gateway may connect to, or where its receiver is: a TCP port, and the range it is in, which is the network's where there is none."
  type = map(object({
    port = number
    cidr = optional(string)
  }))
  default = {}
}

variable "transcribe_streams" {
  description = "The account's quota of concurrent Transcribe streams in this region, 25 unless raised; each of 3 tasks may open its share."
  type        = number
  default     = 25

  validation {
    condition     = var.transcribe_streams >= 3
    error_message = "transcribe_streams is 3 at least, one for each task that may run."
  }
}

variable "alarm_email" {
  description = "Who is told of an alarm; null tells nobody."
  type        = string
  default     = null
}
