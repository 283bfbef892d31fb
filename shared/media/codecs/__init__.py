"""What reads and writes pictures, sound and video: for worker processes only, never for the service's own."""
