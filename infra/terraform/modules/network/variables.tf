variable "name" {
  description = "What everything of this network is named after, such as headwater-prod."
  type        = string
}

variable "region" {
  description = "The region of the zones, such as us-east-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region looks like us-east-1."
  }
}

variable "zones" {
  description = "Availability zones: at least two, for EKS asks for that; three to lose one and keep Kafka's majority."
  type        = list(string)

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 8 && length(distinct(var.zones)) == length(var.zones)
    error_message = "Two to eight different zones."
  }
  validation {
    condition     = alltrue([for zone in var.zones : startswith(zone, var.region)])
    error_message = "Every zone must be one of the region."
  }
}

variable "cidr" {
  description = "The VPC's range, a /16 to a /20: each subnet takes a sixteenth of it, and every pod an address."
  type        = string

  validation {
    condition     = can(cidrsubnet(var.cidr, 4, 15)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "A range looks like 10.40.0.0/16, and is a /16 to a /20."
  }
}

variable "nat_per_zone" {
  description = "Whether each zone has a NAT gateway of its own, so that losing one zone costs the others nothing."
  type        = bool
}

variable "log_retention_days" {
  description = "How long flow logs are kept, in days."
  type        = number
}

variable "log_key_arn" {
  description = "The KMS key that encrypts the logs."
  type        = string
}
