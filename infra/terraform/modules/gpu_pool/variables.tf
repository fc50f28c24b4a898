variable "cluster_name" {
  description = "The EKS cluster that the nodes join."
  type        = string
}

variable "kubernetes_version" {
  description = "The nodes' Kubernetes version: the cluster's."
  type        = string
}

variable "name" {
  description = "The node group's name; a pool may have several groups, such as embed and embed-spot."
  type        = string
}

variable "pool" {
  description = "Which of the model servers run here: embed, rerank or generate."
  type        = string
}

variable "node_role_arn" {
  description = "The role that the nodes join with."
  type        = string
}

variable "subnet_ids" {
  description = "Where the nodes stand: all zones, for GPUs are scarce."
  type        = list(string)
}

variable "instance_types" {
  description = "Types to take nodes from, the preferred one first: of g5 (A10G), g6 (L4), p4d (A100) or p5 (H100), all with as many GPUs of as much memory."
  type        = list(string)

  validation {
    condition     = length(setsubtract(var.instance_types, keys(jsondecode(file("${path.module}/instances.json"))))) == 0
    error_message = "An instance type is not in this module's instances.json: add what it has, or choose one that is."
  }
  validation {
    condition = length(distinct([
      for type in var.instance_types :
      [for key in ["gpus", "gpu_memory_gib"] : try(jsondecode(file("${path.module}/instances.json"))[type][key], 0)]
    ])) == 1
    error_message = "Instance types of one group must have as many GPUs of as much memory: a pod sized for one must fit the others."
  }
}

variable "capacity" {
  description = "How nodes are bought: on-demand, or spot (for lanes that can wait; taken away at two minutes' notice)."
  type        = string
  default     = "on-demand"
}

variable "nodes" {
  description = "How many nodes there are at least (zero: the pods' own minimum decides), at the start and at most."
  type = object({
    min     = optional(number, 0)
    initial = optional(number, 0)
    max     = number
  })
}

variable "disk_gib" {
  description = "Each node's disk, in GiB: images of 10 to 20 GiB each, and the models that pods keep."
  type        = number
  default     = 200
}

variable "sharing" {
  description = "How pods share one GPU: none, time-slicing (any GPU) or mig (A100 and H100), and among how many."
  type = object({
    mode = optional(string, "none")
    pods = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.sharing.mode != "mig" || alltrue([for type in var.instance_types : startswith(type, "p")])
    error_message = "A10G and L4 cannot be parted by mig: use time-slicing, or p4d or p5."
  }
}
