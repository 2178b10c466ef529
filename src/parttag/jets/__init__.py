"""Jets in memory: arrays, batches, kinematics and particle features."""
