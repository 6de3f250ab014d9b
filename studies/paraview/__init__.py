"""Scripts for ParaView's own Python; nothing here is imported by the package."""
