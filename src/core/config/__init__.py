"""What a run is told: settings, cloud, profile."""
