package console

import "strings"

// Languages that the console speaks.
const (
	English = "en"
	Spanish = "es"
)

// word is a text of the console in both languages.
type word struct{ en, es string }

// in gives the text in a language; English when it is not spoken here.
func (w word) in(language string) string {
	if strings.HasPrefix(language, Spanish) {
		return w.es
	}
	return w.en
}

// words are the console's texts by key. Those with %s or %d take values.
var words = map[string]word{
	"title":        {"Recado %s on %s", "Recado %s en %s"},
	"open":         {"Open", "Abrir"},
	"setup":        {"Setup code", "Código de inicio"},
	"alone":        {"recado is not running: nothing is sent until it starts.", "recado no está en marcha: nada se envía hasta que arranque."},
	"paused":       {"SENDING IS PAUSED", "EL ENVÍO ESTÁ EN PAUSA"},
	"clock":        {"The clock is not set: nothing scheduled or expiring happens.", "El reloj no está en hora: no se envía nada programado ni caduca nada."},
	"menu.prompt":  {"Number or command, ? for help: ", "Número u orden, ? para ayuda: "},
	"bye":          {"Goodbye.", "Hasta luego."},
	"idle":         {"Nobody typed for %s: signed out.", "Nadie ha escrito en %s: sesión cerrada."},
	"unknown":      {"There is no command %q: type help.", "No existe la orden %q: escriba help."},
	"usage":        {"use: %s", "uso: %s"},
	"none":         {"(none)", "(ninguno)"},
	"done":         {"Done.", "Hecho."},
	"error":        {"Error: %s", "Error: %s"},
	"cancelled":    {"Cancelled.", "Cancelado."},
	"any.key":      {"Press any key to stop.", "Pulse cualquier tecla para parar."},
	"log.ended":    {"The log has ended: recado stopped.", "El registro ha terminado: recado se ha parado."},
	"sure":         {"%s? [y/N] ", "¿%s? [s/N] "},
	"queued":       {"Accepted: %s, %s.", "Aceptado: %s, %s."},
	"again":        {"Once more: ", "Otra vez: "},
	"differ":       {"They are not the same: nothing was changed.", "No son iguales: no se ha cambiado nada."},
	"no.password":  {"type the password, or give it on standard input", "escriba la contraseña, o désela por la entrada estándar"},
	"no.admin":     {"There is no account yet: open the address above with the setup code.", "Aún no hay cuentas: abra la dirección de arriba con el código de inicio."},
	"pin.warning":  {"A wrong PIN costs a try; after three the SIM is locked.", "Un PIN erróneo gasta un intento; al tercero la SIM se bloquea."},
	"puk.warning":  {"Ten wrong PUKs destroy the SIM for ever.", "Diez PUK erróneos destruyen la SIM para siempre."},
	"no.puk":       {"type the PUK and the new PIN, or give them on standard input, a line each", "escriba el PUK y el PIN nuevo, o délos por la entrada estándar, cada uno en su línea"},
	"yes":          {"yes", "sí"},
	"no":           {"no", "no"},
	"sure.release": {"Release %d messages (what was sent already arrives twice)", "Liberar %d mensajes (lo que ya se envió llega dos veces)"},
	"sure.discard": {"Discard %d messages for good", "Descartar %d mensajes para siempre"},
	"sure.clock":   {"Is it %s now", "Son ahora las %s"},
	"held.done":    {"Done: %d. Still held: %d.", "Hecho: %d. Siguen retenidos: %d."},
	"no.held":      {"nothing of that is held", "no hay nada de eso retenido"},
	"more":         {"There are more.", "Hay más."},
	"bad.time":     {"type the time as 2026-11-30 09:15", "escriba la hora así: 2026-11-30 09:15"},
	"language":     {"English.", "Español."},
	"bad.language": {"languages: es, en", "idiomas: es, en"},

	"ussd.reply":       {"Reply (empty: end): ", "Respuesta (vacía: terminar): "},
	"ussd.terminated":  {"The network has ended the session.", "La red ha terminado la sesión."},
	"ussd.elsewhere":   {"Another program has answered.", "Ha contestado otro programa."},
	"ussd.unsupported": {"The network does not know this code.", "La red no conoce este código."},
	"ussd.timeout":     {"The network did not answer.", "La red no ha contestado."},

	// Commands, as help and the menu show them.
	"c.status":    {"State of the appliance", "Estado del equipo"},
	"c.lines":     {"Lines: SIM, operator, signal", "Líneas: SIM, operador, señal"},
	"c.modems":    {"Modems", "Módems"},
	"c.modem":     {"One modem in detail", "Un módem en detalle"},
	"c.restart":   {"Restart a modem", "Reiniciar un módem"},
	"c.trace":     {"Last AT lines of a modem", "Últimas líneas AT de un módem"},
	"c.history":   {"What happened to a modem", "Qué le ha pasado a un módem"},
	"c.power":     {"Power a modem off and on", "Apagar y encender un módem"},
	"c.sims":      {"SIMs", "Tarjetas SIM"},
	"c.sim":       {"One SIM in detail", "Una SIM en detalle"},
	"c.name":      {"Name a SIM", "Dar nombre a una SIM"},
	"c.enable":    {"Use a SIM", "Usar una SIM"},
	"c.disable":   {"Do not use a SIM", "No usar una SIM"},
	"c.pin":       {"Enter a SIM's PIN", "Introducir el PIN de una SIM"},
	"c.puk":       {"Unblock a SIM with its PUK", "Desbloquear una SIM con su PUK"},
	"c.forget":    {"Forget a SIM's PIN", "Olvidar el PIN de una SIM"},
	"c.ussd":      {"Ask the network: balance, *123#", "Preguntar a la red: saldo, *123#"},
	"c.send":      {"Send a text", "Enviar un mensaje"},
	"c.queue":     {"Queue and last messages", "Cola y últimos mensajes"},
	"c.held":      {"What is held, and why", "Qué está retenido y por qué"},
	"c.release":   {"Release held messages", "Liberar mensajes retenidos"},
	"c.discard":   {"Discard held messages", "Descartar mensajes retenidos"},
	"c.uncertain": {"Messages whose answer was lost", "Mensajes de final incierto"},
	"c.resolve":   {"Say what became of one", "Decir qué fue de uno"},
	"c.clock":     {"Clock, and who vouches for it", "Reloj, y quién responde de él"},
	"c.trust":     {"Vouch for the time", "Dar la hora por buena"},
	"c.backups":   {"Automatic backups", "Copias de seguridad"},
	"c.backup":    {"Make a backup now", "Hacer una copia ahora"},
	"c.pause":     {"Pause sending", "Pausar el envío"},
	"c.resume":    {"Resume sending", "Reanudar el envío"},
	"c.log":       {"Live log", "Registro en vivo"},
	"c.doctor":    {"What is wrong and what to do", "Qué va mal y qué hacer"},
	"c.password":  {"Reset a person's password", "Cambiar la contraseña de una persona"},
	"c.lang":      {"Language: es, en", "Idioma: es, en"},
	"c.help":      {"All commands", "Todas las órdenes"},
	"c.quit":      {"Quit", "Salir"},

	// The doctor.
	"d.well":   {"All is well.", "Todo va bien."},
	"d.counts": {"Out of order: %d. To be looked at: %d.", "Fuera de servicio: %d. Por mirar: %d."},

	// What is asked for.
	"a.modem":    {"Modem", "Módem"},
	"a.sim":      {"SIM (ICCID or name)", "SIM (ICCID o nombre)"},
	"a.name":     {"Name", "Nombre"},
	"a.to":       {"To", "Para"},
	"a.text":     {"Text", "Texto"},
	"a.code":     {"Code (*123#)", "Código (*123#)"},
	"a.person":   {"Person", "Persona"},
	"a.password": {"New password: ", "Contraseña nueva: "},
	"a.puk":      {"PUK: ", "PUK: "},
	"a.newpin":   {"New PIN: ", "PIN nuevo: "},
	"a.pin":      {"PIN: ", "PIN: "},
	"a.reason":   {"Reason, or all", "Motivo, o all (todos)"},
	"a.id":       {"Message's ID", "ID del mensaje"},
	"a.resolve":  {"resend, mark_sent or mark_failed", "resend (reenviar), mark_sent (salió) o mark_failed (no salió)"},
	"a.lang":     {"Language", "Idioma"},

	// Labels of what is shown.
	"l.version":   {"Version", "Versión"},
	"l.since":     {"Running since", "En marcha desde"},
	"l.ready":     {"Lines ready", "Líneas listas"},
	"l.sending":   {"Sending", "Envío"},
	"l.running":   {"running", "en marcha"},
	"l.stopped":   {"paused", "en pausa"},
	"l.queue":     {"Queue", "Cola"},
	"l.sent":      {"Sent, last minute/hour/day", "Enviados, último minuto/hora/día"},
	"l.uncertain": {"Uncertain", "Inciertos"},
	"l.clock":     {"Clock", "Reloj"},
	"l.trusted":   {"trusted", "en hora"},
	"l.untrusted": {"not trusted", "sin sincronizar"},
	"l.storage":   {"Disk free", "Disco libre"},
	"l.modem":     {"MODEM", "MÓDEM"},
	"l.port":      {"PORT", "PUERTO"},
	"l.model":     {"MODEL", "MODELO"},
	"l.state":     {"STATE", "ESTADO"},
	"l.sim":       {"SIM", "SIM"},
	"l.number":    {"NUMBER", "NÚMERO"},
	"l.operator":  {"OPERATOR", "OPERADOR"},
	"l.signal":    {"SIGNAL", "SEÑAL"},
	"l.count":     {"SENT", "ENVIADOS"},
	"l.class":     {"CLASS", "CLASE"},
	"l.to":        {"TO", "PARA"},
	"l.time":      {"TIME", "HORA"},
	"l.id":        {"ID", "ID"},
	"l.held":      {"Held", "Retenidos"},
	"l.reason":    {"REASON", "MOTIVO"},
	"l.messages":  {"MESSAGES", "MENSAJES"},
	"l.oldest":    {"OLDEST", "EL MÁS ANTIGUO"},
	"l.file":      {"FILE", "FICHERO"},
	"l.state.of":  {"Storage", "Almacenamiento"},
	"l.what":      {"TO DO", "QUÉ HACER"},
}
