"""Where files are measured: this machine, or phones over adb, behind one interface."""
