"""OpenAI's paths and bodies."""
