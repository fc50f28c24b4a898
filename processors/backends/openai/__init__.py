"""OpenAI-compatible servers behind the Generator port."""
