package pdu

// Transliterate replaces characters outside GSM 7-bit by their nearest.
func Transliterate(text string) string { return text }
