variable "pool" {
  description = "Which of the model servers run here: embed, rerank or generate."
  type        = string

  validation {
    condition     = contains(["embed", "rerank", "generate"], var.pool)
    error_message = "A pool is embed, rerank or generate: nothing tolerates the taint of another."
  }
}

variable "sharing" {
  description = "How pods share one GPU: not at all (none), in turns without walls between them (time-slicing), or in parts with memory of their own (mig), and among how many pods."
  type = object({
    mode = optional(string, "none")
    pods = optional(number, 1)
  })
  default = {}

  validation {
    condition     = contains(["none", "time-slicing", "mig"], var.sharing.mode)
    error_message = "The mode is none, time-slicing or mig."
  }
  validation {
    condition     = var.sharing.mode != "none" || var.sharing.pods == 1
    error_message = "Without sharing, one pod has the GPU: leave `pods` at 1, or choose a mode."
  }
  validation {
    # A GPU has seven MIG parts at most; time slices beyond eight wait longer than they work.
    condition     = var.sharing.mode == "none" || contains(range(2, var.sharing.mode == "mig" ? 8 : 9), var.sharing.pods)
    error_message = "Between 2 and 7 pods share a GPU by mig, between 2 and 8 by time-slicing."
  }
}
