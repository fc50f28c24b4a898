# GPU nodes on AKS for one of the model servers, of the same shape as gpu_pool. AKS installs the driver; the device plugin is
# the cluster's (NVIDIA's daemon set, tolerating both taints), and with it time-slicing, which no node pool can set.

locals {
  # What each machine type has; mig: the profile by the number of pods that share a GPU.
  machine = jsondecode(file("${path.module}/machines.json"))[var.instance_types[0]]
  spot    = var.capacity == "spot"
  # AKS adds these to spot nodes by itself; unnamed, every plan would want to take them away.
  spot_labels = local.spot ? { "kubernetes.azure.com/scalesetpriority" = "spot" } : {}
  spot_taints = local.spot ? ["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"] : []
}

module "node" {
  source  = "../gpu_node"
  pool    = var.pool
  sharing = var.sharing
}

resource "azurerm_kubernetes_cluster_node_pool" "this" {
  name                    = var.name
  kubernetes_cluster_id   = var.cluster_id
  mode                    = "User"
  orchestrator_version    = var.kubernetes_version
  vm_size                 = var.instance_types[0]
  zones                   = var.zones
  vnet_subnet_id          = var.subnet_id
  os_sku                  = "Ubuntu"
  os_disk_size_gb         = var.disk_gib
  host_encryption_enabled = true

  auto_scaling_enabled = true
  min_count            = var.nodes.min
  node_count           = var.nodes.initial
  max_count            = var.nodes.max

  priority        = local.spot ? "Spot" : "Regular"
  eviction_policy = local.spot ? "Delete" : null
  # At most the price on demand.
  spot_max_price = local.spot ? -1 : null

  gpu_driver   = "Install"
  gpu_instance = var.sharing.mode == "mig" ? local.machine.mig[tostring(var.sharing.pods)] : null

  node_labels = merge(module.node.labels, local.spot_labels)
  node_taints = concat([for taint in module.node.taints : "${taint.key}=${taint.value}:${taint.effect}"], local.spot_taints)

  lifecycle {
    # The autoscaler moves it.
    ignore_changes = [node_count]
  }
}
