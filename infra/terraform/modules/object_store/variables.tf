variable "name" {
  description = "What the buckets are named after, such as headwater-prod; the account's number makes them unique."
  type        = string

  validation {
    # 63 characters at most, less the longest purpose, the account and the dashes.
    condition     = can(regex("^[a-z][a-z0-9-]{2,40}$", var.name))
    error_message = "A name has 3 to 41 lower-case letters, digits and dashes, and begins with a letter."
  }
}

variable "account_id" {
  description = "The AWS account, twelve digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "An account has twelve digits."
  }
}

variable "claims_days" {
  description = "How long documents too large for an event are kept, in days: longer than the topic that names them, and as short as erasure must be."
  type        = number
  default     = 30

  validation {
    # streams/topics.py keeps `documents` for seven days; a replayed dead letter is as old again.
    condition     = var.claims_days >= 14
    error_message = "At least 14 days: an event of seven days, replayed from the dead letters after seven more, still names its claim."
  }
}

variable "backups_days" {
  description = "How long copies of Milvus in the bucket of backups are kept, in days; an erased document is gone from all of them after this."
  type        = number
  default     = 35

  validation {
    condition     = var.backups_days >= 7
    error_message = "At least seven days of copies."
  }
}

variable "deleted_days" {
  description = "How long deleted and overwritten objects can be brought back, in days."
  type        = number
  default     = 7

  validation {
    condition     = var.deleted_days >= 1 && var.deleted_days <= 30
    error_message = "Between 1 and 30 days: longer keeps what was to be erased."
  }
}

variable "deletable" {
  description = "Whether destroying the environment deletes its buckets with all objects."
  type        = bool
  default     = false
}
