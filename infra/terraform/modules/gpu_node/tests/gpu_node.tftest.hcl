run "a_pool_has_its_label_and_both_taints" {
  command = plan
  variables {
    pool = "embed"
  }

  assert {
    condition     = output.labels == { "headwater.dev/pool" = "embed" }
    error_message = "The label is what nodeSelectors name."
  }
  assert {
    condition     = [for taint in output.taints : "${taint.key}=${taint.value}:${taint.effect}"] == ["nvidia.com/gpu=present:NoSchedule", "headwater.dev/pool=embed:NoSchedule"]
    error_message = "Both taints, as tolerations name them."
  }
  assert {
    condition     = output.sharing == { mode = "none", pods = 1 }
    error_message = "A GPU is not shared unless asked for."
  }
}

run "an_unknown_pool_is_refused" {
  command = plan
  variables {
    pool = "train"
  }
  expect_failures = [var.pool]
}

run "an_unknown_mode_is_refused" {
  command = plan
  variables {
    pool    = "embed"
    sharing = { mode = "mps", pods = 2 }
  }
  expect_failures = [var.sharing]
}

run "parts_without_a_mode_are_refused" {
  command = plan
  variables {
    pool    = "embed"
    sharing = { pods = 4 }
  }
  expect_failures = [var.sharing]
}

run "eight_parts_of_a_gpu_are_refused" {
  command = plan
  variables {
    pool    = "generate"
    sharing = { mode = "mig", pods = 8 }
  }
  expect_failures = [var.sharing]
}
