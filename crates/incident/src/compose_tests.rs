//! Claims about titles and severity.
