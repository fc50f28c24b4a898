# What makes a GPU node one of a pool, in every cloud: its labels, its taints and how many pods share one GPU.
# Pods name the pool by these (nodeSelector and tolerations); the pool modules of EKS, GKE and AKS all take them from here.

locals {
  labels = {
    "headwater.dev/pool" = var.pool
  }

  taints = [
    # Keeps everything that asks for no GPU away; daemon sets of vendors tolerate it by its usual name.
    { key = "nvidia.com/gpu", value = "present", effect = "NoSchedule" },
    # Keeps the pools apart: a reranker on an H100 would leave its generator without a place.
    { key = "headwater.dev/pool", value = var.pool, effect = "NoSchedule" },
  ]
}
