"""`edgeprune profile` and `check`: converted files measured on this machine or on phones, outside of a run."""
