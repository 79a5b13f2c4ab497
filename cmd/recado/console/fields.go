package console

import "strings"

// fields are the API's names of what is shown in detail, in Spanish. In English the
// API's own are shown.
var fields = map[string]string{
	"id": "id", "imei": "IMEI", "manufacturer": "fabricante", "model": "modelo", "firmware": "firmware", "family": "familia",
	"port": "puerto", "usb_path": "conector USB", "state": "estado", "since": "desde", "sim": "SIM", "reason": "motivo",
	"last_error": "último error", "restarts": "reinicios",
	"iccid": "ICCID", "imsi": "IMSI", "name": "nombre", "number": "número", "operator": "operador", "modem": "módem",
	"signal": "señal", "registration": "registro en la red", "technology": "tecnología", "smsc": "centro de SMS", "sent_total": "enviados en total",
	"failed_recent": "fallos recientes", "last_sent_at": "último envío",
	"last_at": "última copia", "next_at": "la siguiente", "folder": "carpeta", "error": "error", "paused": "en pausa",
}

// codes are the API's words for states and reasons, in Spanish.
var codes = map[string]string{
	"minute": "minuto", "hour": "hora", "day": "día", "month": "mes", "arrived": "llegó", "missed": "perdida", "refused": "rechazada", "void": "sin resultado", "out": "en camino", "waiting": "espera",
	"unreadable": "la respuesta no dice ninguna cantidad", "many_amounts": "la respuesta dice varias cantidades", "no_answer": "sin respuesta", "unsupported": "la red no lo admite", "ended": "la red lo ha terminado",
	// of messages
	"scheduled": "programado", "held": "retenido", "queued": "en cola", "sending": "enviando", "sent": "enviado",
	"delivered": "entregado", "undelivered": "no entregado", "uncertain": "incierto", "failed": "fallido", "expired": "caducado",
	"cancelled": "cancelado",
	// why
	"restored": "de una copia", "cloned": "datos copiados", "late": "se pasó la hora", "clock": "hora dudosa",
	"answer_lost": "se esperan pruebas", "no_evidence": "sin pruebas: decida", "rejected": "rechazado", "partial": "salió solo una parte",
	"validity": "fuera de plazo", "resolved": "decidido", "discarded": "descartado", "corrupt": "dañado", "text_deleted": "texto ya borrado",
	// of modems and SIMs
	"absent": "no está", "settling": "asentándose", "opening": "abriendo el puerto", "locked": "lo usa otro programa",
	"sync": "buscando respuesta", "identifying": "identificando", "no_sim": "sin SIM", "sim_blocked": "SIM bloqueada",
	"configuring": "configurando", "registering": "buscando red", "sim_denied": "SIM rechazada", "ready": "lista",
	"sending_unknown": "espera respuesta", "recovering": "recuperándose", "fault": "averiado", "disabled": "desactivada",
	"busy": "ocupada", "unavailable": "no disponible", "limit_reached": "límite alcanzado", "no_credit": "sin saldo",
	"blocked": "en espera", "quarantined": "en descanso",
	"home": "en su red", "roaming": "en itinerancia", "searching": "buscando", "denied": "rechazada", "not_registered": "sin registrar",
	"unknown": "desconocido", "sms_only": "solo SMS",
	// of the storage
	"ok": "bien", "low": "queda poco sitio", "full": "lleno", "read_only": "solo lectura", "checking": "comprobándose",
	// of a modem's history
	"state": "estado", "step": "paso", "network": "red", "storage": "memoria", "order": "orden", "send": "envío",
}

// placeholders are what stands for an argument in usage, in Spanish. What is typed as
// it is (all, resend) stays.
var placeholders = strings.NewReplacer("MODEM", "MÓDEM", "NAME", "NOMBRE", "REASON", "MOTIVO", "CLASS", "CLASE", "LINES", "LÍNEAS",
	"PERSON", "PERSONA", "CODE", "CÓDIGO", "REPLIES", "RESPUESTAS", "CHANGES", "CAMBIOS", "TIME", "HORA", "TEXT", "TEXTO", "TO ", "NÚMERO ")

func (s *session) spanish() bool { return strings.HasPrefix(s.language, Spanish) }

// named is what a field of the API is called in the session's language.
func (s *session) named(field string) string {
	if w, ok := fields[field]; ok && s.spanish() {
		return s.shown(w)
	}
	return field
}

// code is a word of the API in the session's language.
func (s *session) code(word string) string {
	if w, ok := codes[word]; ok && s.spanish() {
		return s.shown(w)
	}
	return word
}

// typed is a word of the API that commands take, with what it means behind it.
func (s *session) typed(word string) string {
	if w := s.code(word); w != word {
		return word + " (" + w + ")"
	}
	return word
}

// use is how a command is typed, as a UsageError.
func (s *session) use(c command) error {
	usage := c.usage()
	if s.spanish() {
		usage = s.shown(placeholders.Replace(usage))
	}
	return &UsageError{s.say("usage", usage)}
}

// useOf is use for a command's name.
func (s *session) useOf(name string) error {
	c, _, _ := find(name)
	return s.use(c)
}
