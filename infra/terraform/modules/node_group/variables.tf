variable "cluster_name" {
  description = "The EKS cluster that the nodes join."
  type        = string
}

variable "kubernetes_version" {
  description = "The nodes' Kubernetes version, such as 1.32: the cluster's, so that both move together."
  type        = string
}

variable "name" {
  description = "The group's name, one of its kind in the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.name))
    error_message = "A name has up to 31 lower-case letters, digits and dashes, and begins with a letter."
  }
}

variable "node_role_arn" {
  description = "The role that the nodes join with."
  type        = string
}

variable "subnet_ids" {
  description = "Where the nodes stand: one subnet for pods with volumes of a zone, several for all others."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "Nodes need at least one subnet."
  }
}

variable "ami_type" {
  description = "Bottlerocket for plain nodes or, with NVIDIA's driver and device plugin, for GPU nodes."
  type        = string
  default     = "BOTTLEROCKET_x86_64"

  validation {
    condition     = contains(["BOTTLEROCKET_x86_64", "BOTTLEROCKET_x86_64_NVIDIA"], var.ami_type)
    error_message = "Settings and disks here are Bottlerocket's: BOTTLEROCKET_x86_64 or BOTTLEROCKET_x86_64_NVIDIA."
  }
}

variable "instance_types" {
  description = "Types to take nodes from, the preferred one first; all of one size, for the autoscaler reckons with the first."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) > 0
    error_message = "A group needs at least one instance type."
  }
}

variable "capacity" {
  description = "How nodes are bought: on-demand, or spot (cheaper; taken away at two minutes' notice)."
  type        = string
  default     = "on-demand"

  validation {
    condition     = contains(["on-demand", "spot"], var.capacity)
    error_message = "Capacity is on-demand or spot."
  }
}

variable "nodes" {
  description = "How many nodes there are at least, at the start (the autoscaler takes over) and at most."
  type = object({
    min     = number
    initial = number
    max     = number
  })

  validation {
    condition     = 0 <= var.nodes.min && var.nodes.min <= var.nodes.initial && var.nodes.initial <= var.nodes.max && var.nodes.max >= 1
    error_message = "Counts must hold 0 <= min <= initial <= max, and max at least 1."
  }
}

variable "disk_gib" {
  description = "Each node's disk for images and pods' files, in GiB."
  type        = number

  validation {
    condition     = var.disk_gib >= 20 && var.disk_gib <= 16384
    error_message = "A disk has 20 to 16,384 GiB."
  }
}

variable "disk_mib_s" {
  description = "What that disk reads or writes in a second, in MiB; 125 are in its price."
  type        = number
  default     = 125

  validation {
    condition     = var.disk_mib_s >= 125 && var.disk_mib_s <= 1000
    error_message = "A gp3 disk does 125 to 1,000 MiB/s."
  }
}

variable "labels" {
  description = "The nodes' labels."
  type        = map(string)
}

variable "taints" {
  description = "Taints that keep pods away which do not tolerate them (NoSchedule)."
  type        = list(object({ key = string, value = string, effect = string }))
  default     = []

  validation {
    condition     = alltrue([for taint in var.taints : taint.effect == "NoSchedule"])
    error_message = "Only NoSchedule is used: another effect would evict what runs."
  }
}

variable "bottlerocket_settings" {
  description = "Bottlerocket settings in TOML, on top of what EKS sets."
  type        = string
  default     = ""
}

variable "extended_resources" {
  description = "What a node of this group offers beyond CPU and memory, by resource name, for an autoscaler that sees none of them yet."
  type        = map(string)
  default     = {}
}
