variable "name" {
  description = "The environment, which is also the cluster's name, such as headwater-prod."
  type        = string
}

variable "region" {
  description = "The region, such as us-east-1."
  type        = string
}

variable "account_id" {
  description = "The AWS account, twelve digits."
  type        = string
}

variable "log_retention_days" {
  description = "How long logs are kept, in days; one of the spans that CloudWatch offers."
  type        = number
  default     = 30

  validation {
    # Zero would be for ever. Logs hold ids and no text of documents, so a year is the most that anyone should need.
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365], var.log_retention_days)
    error_message = "CloudWatch keeps logs for 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365 days (longer ones are not wanted here)."
  }
}
