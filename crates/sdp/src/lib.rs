//! Session descriptions as cameras write them: parsed with repair, edited, written back.
