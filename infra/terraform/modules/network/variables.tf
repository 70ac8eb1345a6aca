variable "name" {
  description = "Prefix of every name, such as `parley-dev`."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "A name is 3 to 24 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "cidr" {
  description = "Address range of the network; a /16 to a /20."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr is an IPv4 range from a /16 to a /20, such as 10.20.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones the network spans, by letter; a load balancer needs two."
  type        = list(string)
  default     = ["a", "b"]

  validation {
    condition     = length(distinct(var.zones)) == length(var.zones) && contains([2, 3], length(var.zones)) && alltrue([for zone in var.zones : can(regex("^[a-z]$", zone))])
    error_message = "zones are two or three different letters, such as [\"a\", \"b\"]."
  }
}

variable "nat" {
  description = "`single`: one NAT gateway, cheap, and a zone's outage cuts all off; `per_zone`: one in each."
  type        = string
  default     = "single"

  validation {
    condition     = contains(["single", "per_zone"], var.nat)
    error_message = "nat is single or per_zone."
  }
}

variable "interface_endpoints" {
  description = "AWS services reached without leaving the network, by the last part of their endpoint's name."
  type        = set(string)
  default     = []

  validation {
    condition = alltrue([
      for service in var.interface_endpoints :
      contains(["transcribestreaming", "polly", "secretsmanager", "logs", "ecr.api", "ecr.dkr", "sts"], service)
    ])
    error_message = "interface_endpoints knows transcribestreaming, polly, secretsmanager, logs, ecr.api, ecr.dkr and sts."
  }
}

variable "flow_log_group_arn" {
  description = "Log group that takes a line for every refused connection."
  type        = string
}
