# GPU nodes on EKS for one of the model servers. Bottlerocket's NVIDIA image brings the driver and the device plugin, so the
# cluster installs neither; it also divides the GPUs, by the settings below.

locals {
  # What each instance type has; the mig key is Bottlerocket's name of the GPU.
  catalog   = jsondecode(file("${path.module}/instances.json"))
  instances = [for type in var.instance_types : local.catalog[type]]

  # Shared GPUs keep the name nvidia.com/gpu, so that pods ask for one in the same words wherever they run.
  settings = {
    none         = ""
    time-slicing = <<-TOML
      [settings.kubelet-device-plugins.nvidia]
      device-sharing-strategy = "time-slicing"

      [settings.kubelet-device-plugins.nvidia.time-slicing]
      replicas = ${var.sharing.pods}
      rename-by-default = false
      fail-requests-greater-than-one = true
    TOML
    mig = join("\n", concat(
      ["[settings.kubelet-device-plugins.nvidia]", "device-partitioning-strategy = \"mig\"", "", "[settings.kubelet-device-plugins.nvidia.mig.profile]"],
      [for model in distinct([for instance in local.instances : lookup(instance, "mig", "")]) : "\"${model}\" = \"${var.sharing.pods}\""],
    ))
  }
}

module "node" {
  source  = "../gpu_node"
  pool    = var.pool
  sharing = var.sharing
}

# A start writes vLLM's image, some 25 GB unpacked, and a model of 15 GB to the disk: 5 minutes at the usual 125 MiB/s.
#
# By the label of the accelerator the autoscaler knows that a node is not there before its GPU is: without it, it would buy
# another node for the same pod while the device plugin starts.
module "nodes" {
  source                = "../node_group"
  cluster_name          = var.cluster_name
  kubernetes_version    = var.kubernetes_version
  name                  = var.name
  node_role_arn         = var.node_role_arn
  subnet_ids            = var.subnet_ids
  ami_type              = "BOTTLEROCKET_x86_64_NVIDIA"
  instance_types        = var.instance_types
  capacity              = var.capacity
  nodes                 = var.nodes
  disk_gib              = var.disk_gib
  disk_mib_s            = 500
  labels                = merge(module.node.labels, { "k8s.amazonaws.com/accelerator" = local.instances[0].gpu })
  taints                = module.node.taints
  bottlerocket_settings = local.settings[var.sharing.mode]
  extended_resources    = { "nvidia.com/gpu" = tostring(local.instances[0].gpus * var.sharing.pods) }
}
