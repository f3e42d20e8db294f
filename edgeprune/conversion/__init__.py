"""`edgeprune convert`: one network to several formats, each in a process of its own, remembered by what went in."""
