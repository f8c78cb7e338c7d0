"""The process beside a training that feeds its loggers: started, watched, and how far each logger has come."""
