variable "cluster_id" {
  description = "The AKS cluster that the nodes join, by its resource id."
  type        = string
}

variable "zones" {
  description = "Where the nodes stand: all zones that have the GPU, for GPUs are scarce."
  type        = list(string)

  validation {
    condition     = alltrue([for zone in var.zones : contains(["1", "2", "3"], zone)])
    error_message = "Zones of Azure are 1, 2 and 3."
  }
}

variable "subnet_id" {
  description = "The nodes' subnet."
  type        = string
}

variable "kubernetes_version" {
  description = "The nodes' Kubernetes version: the cluster's."
  type        = string
}

variable "name" {
  description = "The node pool's name; a pool may have several, such as embed and embedspot."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,11}$", var.name))
    error_message = "AKS allows up to 12 lower-case letters and digits."
  }
}

variable "pool" {
  description = "Which of the model servers run here: embed, rerank or generate."
  type        = string
}

variable "instance_types" {
  description = "The machine type, one alone: of NVads A10 v5, NC A100 v4, NC or ND H100 v5."
  type        = list(string)

  validation {
    condition     = length(var.instance_types) == 1
    error_message = "A node pool of AKS has one machine type."
  }
  validation {
    condition     = length(setsubtract(var.instance_types, keys(jsondecode(file("${path.module}/machines.json"))))) == 0
    error_message = "The machine type is not in this module's machines.json: add what it has, or choose one that is."
  }
}

variable "capacity" {
  description = "How nodes are bought: on-demand, or spot, whose taint by AKS pods must tolerate as well."
  type        = string
  default     = "on-demand"

  validation {
    condition     = contains(["on-demand", "spot"], var.capacity)
    error_message = "Capacity is on-demand or spot."
  }
}

variable "nodes" {
  description = "How many nodes there are at least (zero: the pods' own minimum decides), at the start and at most."
  type = object({
    min     = optional(number, 0)
    initial = optional(number, 0)
    max     = number
  })

  validation {
    condition     = 0 <= var.nodes.min && var.nodes.min <= var.nodes.initial && var.nodes.initial <= var.nodes.max && var.nodes.max >= 1
    error_message = "Counts must hold 0 <= min <= initial <= max, and max at least 1."
  }
}

variable "disk_gib" {
  description = "Each node's disk, in GiB: images of 10 to 20 GiB each, and the models that pods keep."
  type        = number
  default     = 200
}

variable "sharing" {
  description = "How pods share one GPU: none, or mig (A100 and H100), and among how many; time-slicing is the device plugin's."
  type = object({
    mode = optional(string, "none")
    pods = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.sharing.mode != "time-slicing"
    error_message = "On AKS the device plugin's own settings divide GPUs by time: leave `sharing` out here."
  }
  validation {
    condition = var.sharing.mode != "mig" || try(contains(
      keys(jsondecode(file("${path.module}/machines.json"))[var.instance_types[0]].mig), tostring(var.sharing.pods)
    ), false)
    error_message = "This GPU cannot be parted so: see mig in machines.json; an A10 has none."
  }
}
