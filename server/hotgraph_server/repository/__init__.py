"""From folders on disk to live versions."""
