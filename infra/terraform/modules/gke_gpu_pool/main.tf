# GPU nodes on GKE for one of the model servers, of the same shape as gpu_pool. GKE installs the driver and the device plugin
# itself, and divides the GPUs.

locals {
  # What each machine type has; mig: the partition size by the number of pods that share a GPU.
  machine = jsondecode(file("${path.module}/machines.json"))[var.instance_types[0]]
}

module "node" {
  source  = "../gpu_node"
  pool    = var.pool
  sharing = var.sharing
}

resource "google_container_node_pool" "this" {
  name               = var.name
  cluster            = var.cluster_name
  location           = var.location
  node_locations     = var.zones
  version            = var.kubernetes_version
  initial_node_count = ceil(var.nodes.initial / length(var.zones))

  # Of all zones together, and wherever there are GPUs to be had.
  autoscaling {
    total_min_node_count = var.nodes.min
    total_max_node_count = var.nodes.max
    location_policy      = "ANY"
  }

  management {
    auto_repair = true
    # The version is the cluster's, moved on purpose.
    auto_upgrade = false
  }

  # Another GPU for the time of an upgrade is rarely to be had.
  upgrade_settings {
    max_surge       = 0
    max_unavailable = 1
  }

  node_config {
    machine_type    = var.instance_types[0]
    image_type      = "COS_CONTAINERD"
    spot            = var.capacity == "spot"
    disk_type       = "pd-balanced"
    disk_size_gb    = var.disk_gib
    service_account = var.node_service_account
    # What the nodes may do is what their service account may, and that is little.
    oauth_scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    labels       = module.node.labels
    metadata     = { disable-legacy-endpoints = "true" }

    dynamic "taint" {
      for_each = module.node.taints
      content {
        key    = taint.value.key
        value  = taint.value.value
        effect = "NO_SCHEDULE"
      }
    }

    guest_accelerator {
      type               = local.machine.gpu
      count              = local.machine.gpus
      gpu_partition_size = var.sharing.mode == "mig" ? local.machine.mig[tostring(var.sharing.pods)] : null

      gpu_driver_installation_config {
        # Images of today are built for a newer CUDA than the default driver knows.
        gpu_driver_version = "LATEST"
      }

      dynamic "gpu_sharing_config" {
        for_each = var.sharing.mode == "time-slicing" ? [var.sharing.pods] : []
        content {
          gpu_sharing_strategy       = "TIME_SHARING"
          max_shared_clients_per_gpu = gpu_sharing_config.value
        }
      }
    }

    shielded_instance_config {
      enable_secure_boot          = true
      enable_integrity_monitoring = true
    }

    # Pods have identities of their own; the node's is out of their reach.
    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }

  lifecycle {
    # The autoscaler moves it.
    ignore_changes = [initial_node_count]
  }
}
