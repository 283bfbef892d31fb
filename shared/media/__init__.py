"""Files: kept in an object store, streamed in and out, looked at before they are believed."""
