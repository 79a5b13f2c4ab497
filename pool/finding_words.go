package pool

// sentence is what a finding says, and what to do.
type sentence struct{ says, do string }

// words are a finding's in the languages of the console and the pages.
type words struct{ en, es sentence }

// findingWords are the words of every code that is known here: those of
// Findings, and those that the program itself adds (USB, disk, clock). {name}
// stands for a fact; a part in [brackets] goes when one of its facts is not known.
var findingWords = map[string]words{
	// Ports.
	"port_absent": {
		sentence{"There is no {port}: nothing is plugged in there, or it has no power.", "Check the cable, the power and the port's name."},
		sentence{"No existe {port}: no hay nada conectado ahí, o no tiene corriente.", "Compruebe el cable, la alimentación y el nombre del puerto."}},
	"port_unreachable": {
		sentence{"Nothing answers at {port}.", "Check the serial server's power, its address and the network between."},
		sentence{"Nada responde en {port}.", "Compruebe la alimentación del servidor serie, su dirección y la red entre medias."}},
	"port_permission": {
		sentence{"Recado may not open {port}[: it is for the group {group}].", "Add the user that runs Recado to that group[: usermod -aG {group} recado], then restart it."},
		sentence{"Recado no tiene permiso para abrir {port}[: es del grupo {group}].", "Añada a ese grupo el usuario con el que corre Recado[: usermod -aG {group} recado] y reinícielo."}},
	"port_busy": {
		sentence{"{port} is in use[ by {program}][ (process {pid})].", "Stop that program, or tell it to leave this modem alone."},
		sentence{"{port} está ocupado[ por {program}][ (proceso {pid})].", "Pare ese programa, o dígale que no toque este módem."}},
	"port_not_tty": {
		sentence{"{port} is no serial port.", "Name a port such as /dev/ttyUSB2."},
		sentence{"{port} no es un puerto serie.", "Ponga un puerto como /dev/ttyUSB2."}},
	"port_name": {
		sentence{"{port} is not a port's name.", "Name a path such as /dev/ttyUSB2, usb:1-1.2:2, or tcp:HOST:PORT."},
		sentence{"{port} no es el nombre de un puerto.", "Ponga una ruta como /dev/ttyUSB2, usb:1-1.2:2, o tcp:HOST:PUERTO."}},
	"port_silent": {
		sentence{"Nothing on {port} answers AT: it is no modem, or the wrong one of a modem's ports.", "Name another of its ports, or let --discover choose. A modem that was just plugged in needs up to a minute."},
		sentence{"Nada responde a AT en {port}: no es un módem, o no es el puerto correcto de los que tiene.", "Ponga otro de sus puertos, o deje que --discover lo elija. Un módem recién conectado tarda hasta un minuto."}},
	"port_twice": {
		sentence{"{port} is in use under another name already.", "Name it once."},
		sentence{"{port} ya está en uso con otro nombre.", "Póngalo una sola vez."}},
	"port_shared": {
		sentence{"Another program[, {program}] has {port} open too: each gets the other's answers.", "Stop that program."},
		sentence{"Otro programa[, {program}] también tiene abierto {port}: cada uno recibe las respuestas del otro.", "Pare ese programa."}},
	"port_wrong": {
		sentence{"{port} is a modem's port, but not the one for AT.", "Name the modem's AT port[ ({instead})], or let --discover choose."},
		sentence{"{port} es de un módem, pero no es su puerto AT.", "Ponga el puerto AT del módem[ ({instead})], o deje que --discover lo elija."}},
	"port_console": {
		sentence{"{port} is the box's own console, or offers a login.", "Take the console away from it, or name another port."},
		sentence{"{port} es la consola del propio equipo, u ofrece una sesión.", "Quite de ahí la consola, o ponga otro puerto."}},
	"port_moved": {
		sentence{"The modem's port {port} is not there any more, the modem is.", "Unplug the modem and plug it in again."},
		sentence{"El módem está, pero su puerto {port} ya no.", "Desenchufe el módem y vuelva a enchufarlo."}},

	// Modems.
	"modem_mute": {
		sentence{"The modem on {port} has stopped answering[ ({reason})].", "It is restarted by itself; when that does not help, unplug it and plug it in again, and check its power supply."},
		sentence{"El módem de {port} ha dejado de responder[ ({reason})].", "Se reinicia solo; si no basta, desenchúfelo y vuelva a enchufarlo, y revise su alimentación."}},
	"modem_fault": {
		sentence{"The modem on {port} is out of order: nothing that was tried brought it back[ ({reason})].", "Cut its power for ten seconds. If it does not come back, replace it."},
		sentence{"El módem de {port} está averiado: nada de lo intentado lo ha recuperado[ ({reason})].", "Quítele la corriente diez segundos. Si no vuelve, cámbielo."}},
	"modem_text_mode": {
		sentence{"The modem on {port} knows only text mode: Recado cannot use it.", "Use another modem, or newer firmware."},
		sentence{"El módem de {port} solo conoce el modo texto: Recado no puede usarlo.", "Use otro módem, o un firmware más nuevo."}},
	"modem_recovering": {
		sentence{"The modem on {port} has been out of work for {minutes} minutes: {reason}.", "It is being brought back. See its history: recado console -c 'modem trace {port}'."},
		sentence{"El módem de {port} lleva {minutes} minutos sin servicio: {reason}.", "Se está recuperando. Mire su historia: recado console -c 'modem trace {port}'."}},
	"modem_slow": {
		sentence{"The modem on {port} has been starting for {minutes} minutes (state {state}).", "If it stays so, restart it: recado console -c 'modem restart {port}'."},
		sentence{"El módem de {port} lleva {minutes} minutos arrancando (estado {state}).", "Si sigue así, reinícielo: recado console -c 'modem restart {port}'."}},
	"modem_restarts": {
		sentence{"The modem on {port} was restarted {count} times.", "Check its power supply and cable: most modems that restart get too little current."},
		sentence{"El módem de {port} se ha reiniciado {count} veces.", "Revise la alimentación y el cable: a casi todos los que se reinician les falta corriente."}},
	"modem_crashes": {
		sentence{"The modem on {port} failed {count} times within the last day.", "Check its power supply, cable and antenna; the support bundle has what it said before."},
		sentence{"El módem de {port} ha fallado {count} veces en el último día.", "Revise su alimentación, el cable y la antena; el paquete de soporte tiene lo que dijo antes."}},
	"modem_disabled": {
		sentence{"The modem on {port} is switched off by an operator.", ""},
		sentence{"El módem de {port} está apagado por un operador.", ""}},
	"storage_filling": {
		sentence{"The modem's SMS memory ({memory}) holds {used} of {total}.", "What stays there is not Recado's: delete old messages with a phone."},
		sentence{"La memoria de SMS del módem ({memory}) tiene {used} de {total}.", "Lo que queda ahí no es de Recado: borre los mensajes viejos con un teléfono."}},
	"storage_full": {
		sentence{"The modem's SMS memory ({memory}) is full, {used} of {total}: nothing more is received.", "What stays there is not Recado's: put the SIM into a phone and delete its messages."},
		sentence{"La memoria de SMS del módem ({memory}) está llena, {used} de {total}: no se recibe nada más.", "Lo que queda ahí no es de Recado: meta la SIM en un teléfono y borre sus mensajes."}},
	"storage_foreign": {
		sentence{"The modem's SMS memory ({memory}) holds {foreign} messages that another device wrote, {used} of {total} in all.", "Put the SIM into a phone and delete its stored messages: they take the room of those to be received."},
		sentence{"La memoria de SMS del módem ({memory}) tiene {foreign} mensajes que escribió otro aparato, {used} de {total} en total.", "Meta la SIM en un teléfono y borre los mensajes guardados: ocupan el sitio de los que lleguen."}},

	// SIMs.
	"sim_absent": {
		sentence{"There is no SIM in the modem on {port}.", "Put one in, the right way round; take it out and put it in again if there is one."},
		sentence{"No hay SIM en el módem de {port}.", "Ponga una, en la posición correcta; si ya hay una, sáquela y vuelva a meterla."}},
	"sim_failure": {
		sentence{"The SIM in the modem on {port} does not work.", "Take it out, clean its contacts and put it in again; try it in a phone."},
		sentence{"La SIM del módem de {port} no funciona.", "Sáquela, limpie los contactos y vuelva a meterla; pruébela en un teléfono."}},
	"sim_busy": {
		sentence{"The SIM in the modem on {port} has been busy for {minutes} minutes.", "Take it out and put it in again; try it in a phone."},
		sentence{"La SIM del módem de {port} lleva {minutes} minutos ocupada.", "Sáquela y vuelva a meterla; pruébela en un teléfono."}},
	"sim_pin": {
		sentence{"The SIM in the modem on {port} wants its PIN[ (tries left: {tries})].", "Enter it: recado console -c 'pin {port}'. Recado never guesses one."},
		sentence{"La SIM del módem de {port} pide su PIN[ (intentos que quedan: {tries})].", "Introdúzcalo: recado console -c 'pin {port}'. Recado nunca prueba uno al azar."}},
	"sim_pin_last": {
		sentence{"The SIM in the modem on {port} wants its PIN and has one try left.", "Unblock it in a phone, so that it is not lost. Recado does not try."},
		sentence{"La SIM del módem de {port} pide su PIN y le queda un solo intento.", "Desbloquéela en un teléfono, para no perderla. Recado no lo intenta."}},
	"sim_puk": {
		sentence{"The SIM in the modem on {port} is blocked and wants its PUK.", "The PUK is on the card that the SIM came in, or the operator tells it: enter it in a phone. After ten wrong ones the SIM is lost."},
		sentence{"La SIM del módem de {port} está bloqueada y pide su PUK.", "El PUK está en la tarjeta con la que vino la SIM, o lo dice el operador: introdúzcalo en un teléfono. Tras diez erróneos la SIM se pierde."}},
	"sim_locked": {
		sentence{"The modem on {port} is locked to another network or SIM[ ({lock})].", "Have the modem unlocked, or use a SIM of its operator."},
		sentence{"El módem de {port} está bloqueado para otra red u otra SIM[ ({lock})].", "Haga liberar el módem, o use una SIM de su operador."}},
	"sim_blocked": {
		sentence{"The SIM in the modem on {port} is blocked: {reason}.", "Try it in a phone."},
		sentence{"La SIM del módem de {port} está bloqueada: {reason}.", "Pruébela en un teléfono."}},
	"sim_no_smsc": {
		sentence{"The SIM {sim} does not say its message centre's number (SMSC): it can hardly send.", "Ask the operator for it and set it with a phone."},
		sentence{"La SIM {sim} no dice el número de su centro de mensajes (SMSC): difícilmente podrá enviar.", "Pídaselo al operador y póngalo con un teléfono."}},
	"sim_refused": {
		sentence{"The network refuses messages of the SIM {sim}[ ({code})].", "Check its contract and its credit."},
		sentence{"La red rechaza los mensajes de la SIM {sim}[ ({code})].", "Revise su contrato y su saldo."}},
	"sim_no_credit": {
		sentence{"The SIM {sim} has no credit[: its balance is {units}][.{cents}][ {currency}]; nothing is sent on it, other SIMs take its messages.", "Top it up, and ask for the balance on its page. It is found by itself too, but later: with an operator that charges for the question, after up to a week. If it can send all the same, say so there."},
		sentence{"La SIM {sim} no tiene saldo[: le quedan {units}][,{cents}][ {currency}]; no se envía nada por ella, otras SIM se encargan de sus mensajes.", "Recárguela y consulte el saldo en su página. También se detecta sola, pero más tarde: con un operador que cobra la consulta, hasta una semana después. Si aun así puede enviar, indíquelo allí."}},
	"sim_credit_low": {
		sentence{"The SIM {sim} has little credit left: {units}[.{cents}][ {currency}].", "Top it up before it runs out."},
		sentence{"A la SIM {sim} le queda poco saldo: {units}[,{cents}][ {currency}].", "Recárguela antes de que se agote."}},
	"sim_credit_unreadable": {
		sentence{"The answer of the network about the SIM {sim}'s balance cannot be read.", "Look at the answer on the SIM's page, and give a pattern that finds the amount in it, or another code."},
		sentence{"No se entiende lo que la red responde sobre el saldo de la SIM {sim}.", "Mire la respuesta en la página de la SIM y ponga una expresión que encuentre el importe, u otro código."}},
	"sim_held": {
		sentence{"The SIM {sim} does not send: {reason}.", "When that is put right, restart its modem: recado console -c 'modem restart {port}'."},
		sentence{"La SIM {sim} no envía: {reason}.", "Cuando esté corregido, reinicie su módem: recado console -c 'modem restart {port}'."}},
	"sim_failing": {
		sentence{"{count} messages of the SIM {sim} were refused or lost within the hour.", "Check its contract and credit, and the numbers written to."},
		sentence{"{count} mensajes de la SIM {sim} se han rechazado o perdido en la última hora.", "Revise su contrato y su saldo, y los números a los que se escribe."}},
	"sim_twin": {
		sentence{"The SIM seen on {port} is in use on {other} already: two ports of one module.", "Nothing needs to be done; name only one of the two to be rid of this."},
		sentence{"La SIM que se ve en {port} ya se usa en {other}: son dos puertos de un mismo módulo.", "No hay que hacer nada; ponga solo uno de los dos para no ver esto."}},
	"sim_disabled": {
		sentence{"The SIM {sim} is switched off by a person.", "recado console -c 'sim enable {sim}' takes it into use again."},
		sentence{"La SIM {sim} está desactivada por una persona.", "recado console -c 'sim enable {sim}' vuelve a usarla."}},
	"sim_paused": {
		sentence{"The SIM {sim} is paused by a person: nothing leaves on it.", "Resume it on its page, or with POST /api/v1/sending/resume {\"sim\":\"ICCID\"}; what waits for it is in the queue."},
		sentence{"La SIM {sim} está en pausa por una persona: no sale nada por ella.", "Reanúdela en su página, o con POST /api/v1/sending/resume {\"sim\":\"ICCID\"}; lo que la espera sigue en cola."}},
	"sim_limit": {
		sentence{"The SIM {sim} has reached a limit[: {used} of {most} messages or people]; other SIMs send meanwhile.", "It goes on by itself when the time of that limit is over. If the contract allows more, raise it on the SIM's page."},
		sentence{"La SIM {sim} ha llegado a un límite[: {used} de {most} mensajes o personas]; mientras, envían otras.", "Sigue sola cuando pase el tiempo de ese límite. Si el contrato permite más, auméntelo en la página de la SIM."}},
	"class_paused": {
		sentence{"Sending is paused for some classes: {classes}.", "Resume them on the start page, or with POST /api/v1/sending/resume {\"class\":\"…\"}; what waits is in the queue."},
		sentence{"El envío está en pausa para algunas clases: {classes}.", "Reanúdelas en la página de inicio, o con POST /api/v1/sending/resume {\"class\":\"…\"}; lo que espera sigue en cola."}},
	"line_quarantined": {
		sentence{"The line on {port} rests: {reason}.", "It tries again by itself. Check antenna, signal and power of the modem."},
		sentence{"La línea de {port} descansa: {reason}.", "Lo vuelve a intentar sola. Revise la antena, la señal y la alimentación del módem."}},
	"line_no_send": {
		sentence{"The SIM {sim} on {port} is registered and seems to send, but {count} test messages from it got nowhere, and other lines' did.", "It is in quarantine and is tested again by itself, on a real SIM for a day; you can test it on its page at any time. Check its credit and contract; a person can end the quarantine on the SIM's page."},
		sentence{"La SIM {sim} de {port} está en la red y parece que envía, pero {count} mensajes de prueba suyos no llegaron y los de otras líneas sí.", "Está apartada y se vuelve a probar sola (una SIM real, durante un día); en su página se puede probar cuando se quiera. Revise su saldo y su contrato; en la página de la SIM se la puede volver a usar."}},
	"line_no_receive": {
		sentence{"The SIM {sim} on {port} is registered, but {count} test messages to it did not arrive, and those to other lines did.", "It is sent on only when no other SIM can, and is tested again by itself, on a real SIM for a day. See whether the number kept for it is its own, whether the modem's memory is full, and its contract."},
		sentence{"La SIM {sim} de {port} está en la red, pero {count} mensajes de prueba a ella no llegaron y los de otras líneas sí.", "Solo se envía por ella cuando no puede otra SIM, y se vuelve a probar sola (una SIM real, durante un día). Mire si el número guardado es el suyo, si la memoria del módem está llena, y su contrato."}},
	"line_mute": {
		sentence{"The SIM {sim} on {port} is registered, but neither sends nor receives: {count} test messages were lost, and other lines' arrive.", "It is in quarantine and is tested again by itself, on a real SIM for a day; you can test it on its page at any time. Check the modem, its antenna, and the SIM's contract."},
		sentence{"La SIM {sim} de {port} está en la red, pero ni envía ni recibe: {count} mensajes de prueba se perdieron y los de otras líneas llegan.", "Está apartada y se vuelve a probar sola (una SIM real, durante un día); en su página se puede probar cuando se quiera. Revise el módem, su antena y el contrato de la SIM."}},
	"line_mute_alone": {
		sentence{"The SIM {sim} on {port} does not send or does not receive: {count} test messages to itself neither arrived nor were reported.", "It is in quarantine and is tested again by itself, on a real SIM for a day; you can test it on its page at any time. Check the modem, its antenna, and the SIM's credit and contract."},
		sentence{"La SIM {sim} de {port} no envía o no recibe: {count} mensajes de prueba a sí misma no llegaron ni dieron acuse.", "Está apartada y se vuelve a probar sola (una SIM real, durante un día); en su página se puede probar cuando se quiera. Revise el módem, su antena, y el saldo y el contrato de la SIM."}},
	"sim_number_doubtful": {
		sentence{"{count} test messages to the SIM {sim} on {port} left, and did not arrive on it: most likely the number that is kept for it is not its own.", "See on the SIM's page whether its number is right, and test it again. Until then its tests tell nothing of the line; it is used as before."},
		sentence{"{count} mensajes de prueba a la SIM {sim} de {port} salieron y no llegaron a ella: lo más probable es que el número guardado no sea el suyo.", "Mire en la página de la SIM si su número es correcto y pruébela otra vez. Hasta entonces las pruebas no dicen nada de la línea; se usa como antes."}},
	"line_untested": {
		sentence{"{count} test messages of the SIM {sim} on {port} to itself did not arrive. Its network may not carry those, or the line does not send or does not receive.", "Send a message to a phone of yours, and see whether it arrives and whether its answer comes in. The line is used as before."},
		sentence{"{count} mensajes de prueba de la SIM {sim} de {port} a sí misma no llegaron. Quizá su red no los lleva, o la línea no envía o no recibe.", "Mande un mensaje a un teléfono suyo, y mire si llega y si entra la respuesta. La línea se usa como antes."}},
	"answers_lost": {
		sentence{"The network's answer to {count} messages of {port} was lost within the hour: whether they left is not known.", "Check antenna, signal and power of the modem. The messages are shown as uncertain."},
		sentence{"En la última hora se ha perdido la respuesta de la red a {count} mensajes de {port}: no se sabe si salieron.", "Revise la antena, la señal y la alimentación del módem. Los mensajes salen como inciertos."}},
	"reports_none": {
		sentence{"The modem on {port} gives no delivery reports.", "Messages leave, but nobody hears whether they arrived. Another modem is needed for that."},
		sentence{"El módem de {port} no da acuses de entrega.", "Los mensajes salen, pero no se sabe si llegan. Para eso hace falta otro módem."}},
	"reports_missing": {
		sentence{"{count} messages left by {port}, and no delivery report has come.", "The operator may not give any, or the modem loses them; the modem was told to give them another way."},
		sentence{"Han salido {count} mensajes por {port} y no ha llegado ningún acuse de entrega.", "Quizá el operador no los da, o el módem los pierde; se le ha dicho que los dé de otra forma."}},

	// Networks.
	"registration_denied": {
		sentence{"The network refuses the SIM {sim} in the modem on {port}.", "Check that it is active and paid for, and may be used in this country and in a modem; try it in a phone."},
		sentence{"La red rechaza la SIM {sim} del módem de {port}.", "Compruebe que está activa y pagada, y que vale en este país y en un módem; pruébela en un teléfono."}},
	"registration_searching": {
		sentence{"The modem on {port} has found no network for {minutes} minutes.", "Check the antenna, put the modem by a window, see whether a phone has coverage there."},
		sentence{"El módem de {port} lleva {minutes} minutos sin encontrar red.", "Revise la antena, ponga el módem junto a una ventana, mire si un teléfono tiene cobertura ahí."}},
	"registration_emergency": {
		sentence{"The network gives the modem on {port} emergency calls only.", "The SIM is not accepted here: check that it is active, its contract and its operator's coverage."},
		sentence{"La red solo da llamadas de emergencia al módem de {port}.", "La SIM no se acepta aquí: compruebe que está activa, su contrato y la cobertura de su operador."}},
	"lte_only": {
		sentence{"The modem on {port} is registered on LTE only: whether its operator takes messages that way shows with the first.", "Send a test message. If it fails, have the modem use 2G or 3G."},
		sentence{"El módem de {port} solo está registrado en LTE: con el primer mensaje se verá si su operador los acepta así.", "Envíe un mensaje de prueba. Si falla, haga que el módem use 2G o 3G."}},
	"lte_without_sms": {
		sentence{"The network has taken none of the last messages of the modem on {port}, though it is registered[ ({technology})]: most likely LTE without SMS.", "Have the modem use 2G or 3G, ask the operator for SMS over IMS (VoLTE) on this SIM, or use another operator's."},
		sentence{"La red no ha aceptado ninguno de los últimos mensajes del módem de {port}, aunque está registrado[ ({technology})]: casi seguro, LTE sin SMS.", "Haga que el módem use 2G o 3G, pida al operador SMS sobre IMS (VoLTE) en esta SIM, o use la de otro operador."}},
	"network_2g3g_only": {
		sentence{"The modem on {port} knows 2G and 3G only[ (now {technology})]: where those networks are switched off it falls mute.", "Plan for an LTE modem."},
		sentence{"El módem de {port} solo conoce 2G y 3G[ (ahora {technology})]: donde apaguen esas redes se quedará mudo.", "Vaya pensando en un módem LTE."}},
	"signal_weak": {
		sentence{"The modem on {port} has a weak signal, {dbm} dBm.", "Check the antenna, or put it elsewhere: -95 dBm and more is good."},
		sentence{"El módem de {port} tiene poca señal, {dbm} dBm.", "Revise la antena, o póngala en otro sitio: -95 dBm o más es buena."}},

	// The program and the box.
	"no_modem": {
		sentence{"There is no modem: nothing can be sent or received.", "Plug one in and start recado with --discover, or name its port with --modem."},
		sentence{"No hay ningún módem: no se puede enviar ni recibir.", "Conecte uno y arranque recado con --discover, o ponga su puerto con --modem."}},
	"webhook_failing": {
		sentence{"The webhook {webhook} does not take what it is told[: {reason}]; {waiting} deliveries wait.", "Check its address and the program behind it. They are tried for 72 hours, then given up until somebody replays them."},
		sentence{"El webhook {webhook} no acepta lo que se le cuenta[: {reason}]; esperan {waiting} entregas.", "Compruebe su dirección y el programa que está detrás. Se intentan durante 72 horas; después se abandonan hasta que alguien las repita."}},
	"webhook_gone": {
		sentence{"The webhook {webhook} is switched off: it answered that nobody wants this any more (410).", "Delete it, or correct its address and switch it on again."},
		sentence{"El webhook {webhook} está desactivado: respondió que ya nadie quiere esto (410).", "Bórrelo, o corrija su dirección y actívelo otra vez."}},
	"webhook_dead": {
		sentence{"{dead} deliveries to the webhook {webhook} were given up.", "Replay them on its page, or with POST /api/v1/webhooks/ID/replay; they are kept for 30 days."},
		sentence{"Se han abandonado {dead} entregas al webhook {webhook}.", "Repítalas en su página, o con POST /api/v1/webhooks/ID/replay; se guardan 30 días."}},
	"sending_paused": {
		sentence{"Sending is paused: what is queued stays.", "recado console -c resume sends again."},
		sentence{"El envío está en pausa: lo que hay en cola espera.", "recado console -c resume lo reanuda."}},
	"messages_held": {
		sentence{"Messages that are held and do not leave by themselves: {count}[ ({reasons})].", "See why, then release or discard them: recado console -c 'held list', 'held release REASON', 'held discard REASON'."},
		sentence{"Mensajes retenidos, que no salen solos: {count}[ ({reasons})].", "Mire por qué y libérelos o descártelos: recado console -c 'held list', 'held release MOTIVO', 'held discard MOTIVO'."}},
	"rows_damaged": {
		sentence{"Stored messages that were found damaged: {count}; the last on {at}[ ({id})]. Those that waited are not sent.", "Check the disk or card. Write the failed ones again (reason corrupt); if there are more, stop Recado and restore a backup: recado restore FILE."},
		sentence{"Mensajes guardados que aparecieron dañados: {count}; el último, el {at}[ ({id})]. Los que esperaban no se envían.", "Compruebe el disco o la tarjeta. Vuelva a escribir los fallidos (motivo corrupt); si aparecen más, pare Recado y recupere una copia: recado restore FICHERO."}},
	"clock_untrusted": {
		sentence{"The clock is not known to be right: nothing scheduled is sent and nothing expires.", "If its time is right, say so: recado console -c 'clock trust'. For good: a time server (NTP) or a clock chip."},
		sentence{"No consta que el reloj esté en hora: no se envía nada programado ni caduca nada.", "Si está en hora, dígalo: recado console -c 'clock trust'. Para siempre: un servidor de hora (NTP) o un reloj."}},
	"program_stopped": {
		sentence{"Recado is not running: nothing is sent or received.", "Start it: systemctl start recado, or recado serve."},
		sentence{"Recado no está en marcha: no se envía ni se recibe nada.", "Arránquelo: systemctl start recado, o recado serve."}},
	"program_wedged": {
		sentence{"Recado[ (process {pid})] runs and does not answer.", "Look at journalctl -u recado. If it stays so, restart it: systemctl restart recado."},
		sentence{"Recado[ (proceso {pid})] está en marcha y no responde.", "Mire journalctl -u recado. Si sigue así, reinícielo: systemctl restart recado."}},
	"program_closed": {
		sentence{"Recado runs, but this user may not ask it.", "Run this as root, or as the user that runs recado."},
		sentence{"Recado está en marcha, pero este usuario no puede preguntarle.", "Ejecute esto como root, o con el usuario que corre recado."}},
	"part_stalled": {
		sentence{"A part of Recado stands still: {reason}.", "Restart it: systemctl restart recado. Check the disk."},
		sentence{"Una parte de Recado está parada: {reason}.", "Reinícielo: systemctl restart recado. Revise el disco."}},
	"data_missing": {
		sentence{"There is no appliance's data in {folder}.", "Name its folder with --data, or start Recado once."},
		sentence{"No hay datos de un Recado en {folder}.", "Ponga su carpeta con --data, o arranque Recado una vez."}},
	"data_permissions": {
		sentence{"{file} can be read by others (mode {mode}).", "chmod {wanted} {file}"},
		sentence{"Otros pueden leer {file} (modo {mode}).", "chmod {wanted} {file}"}},
	"data_closed": {
		sentence{"This user may not look into {folder}: {reason}.", "Run this as root, or as the user that runs recado."},
		sentence{"Este usuario no puede mirar en {folder}: {reason}.", "Ejecute esto como root, o con el usuario que corre recado."}},
	"database_broken": {
		sentence{"The database is damaged: {reason}.", "Stop Recado, keep a copy of the folder, check the disk, and restore a backup."},
		sentence{"La base de datos está dañada: {reason}.", "Pare Recado, guarde una copia de la carpeta, revise el disco y recupere una copia de seguridad."}},
	"database_unchecked": {
		sentence{"The database was not checked to the end: {reason}.", "Run recado doctor again when the box is quiet."},
		sentence{"La base de datos no se ha comprobado entera: {reason}.", "Repita recado doctor cuando el equipo esté tranquilo."}},
	"database_read_only": {
		sentence{"Nothing can be stored any more, and so nothing is sent: {reason}.", "Check the disk or replace it, make sure of a backup, then restart Recado."},
		sentence{"Ya no se puede guardar nada, y por eso no se envía nada: {reason}.", "Revise el disco o cámbielo, asegúrese de tener una copia y reinicie Recado."}},
	"database_write_failed": {
		sentence{"The disk failed once to write: {reason}.", "Check the disk; replace it when this comes again."},
		sentence{"El disco ha fallado una vez al escribir: {reason}.", "Revise el disco; cámbielo si se repite."}},
	"disk_full": {
		sentence{"The data folder's disk is nearly full: {free} MB left.", "Make room: without it nothing is accepted any more."},
		sentence{"El disco de los datos está casi lleno: quedan {free} MB.", "Haga sitio: sin él no se acepta nada más."}},
	"disk_low": {
		sentence{"The data folder's disk has {free} MB left.", "Make room soon."},
		sentence{"Al disco de los datos le quedan {free} MB.", "Haga sitio pronto."}},
	"backup_failed": {
		sentence{"The automatic backup failed: {reason}[ (the last good one is of {last})].", "Mend what it names; it is tried again every ten minutes."},
		sentence{"La copia de seguridad automática ha fallado: {reason}[ (la última buena es de {last})].", "Corrija lo que indica; se vuelve a intentar cada diez minutos."}},
	"backup_paused": {
		sentence{"Automatic backups are paused, there is little room[ (the last good one is of {last})].", "Make room, or keep fewer: --backup-hourly, --backup-daily."},
		sentence{"Las copias de seguridad automáticas están en pausa por falta de espacio[ (la última buena es de {last})].", "Haga sitio o guarde menos: --backup-hourly, --backup-daily."}},
	"data_restored": {
		sentence{"The database was found damaged on {at}, and nothing of it could be read. The automatic backup of {copied} took its place; {held} messages are held, the damaged files are in {quarantine}.", "Look through what is held and release or discard it, then acknowledge this. Check the disk or card."},
		sentence{"La base de datos apareció dañada el {at} y no se pudo leer nada de ella. La sustituye la copia automática de {copied}; hay {held} mensajes retenidos y los ficheros dañados están en {quarantine}.", "Revise lo retenido, libérelo o descártelo y confirme este aviso. Compruebe el disco o la tarjeta."}},
	"data_salvaged": {
		sentence{"The database was found damaged on {at}. {kept} messages and {received} received ones could be read[; {lost} messages and {lostin} received ones, as far as can be told, could not][ (damaged: {tables})][, {added} of those came from the automatic backup of {copied}]. {held} messages are held, the damaged files are in {quarantine}.", "Look through what is held and release or discard it, then acknowledge this. Check the disk or card."},
		sentence{"La base de datos apareció dañada el {at}. Se han podido leer {kept} mensajes y {received} recibidos[; por lo que se sabe, {lost} mensajes y {lostin} recibidos no][ (dañado: {tables})][, y {added} de ellos vienen de la copia automática del {copied}]. Hay {held} mensajes retenidos y los ficheros dañados están en {quarantine}.", "Revise lo retenido, libérelo o descártelo y confirme este aviso. Compruebe el disco o la tarjeta."}},
	"data_log_lost": {
		sentence{"On {at} Recado started after an end that was not in order, and the database's log of the last moments was not whole ({reason}). What was accepted or received then may be missing here; what was not finished is held.", "Compare with what the programs that send have sent, and send again what is missing. Look through what is held, some of it may have left: release or discard it, then acknowledge this. Check the disk or card."},
		sentence{"El {at} Recado arrancó tras una parada que no fue ordenada, y el registro de los últimos momentos de la base de datos no estaba entero ({reason}). Puede faltar lo aceptado o recibido entonces; lo que no estaba terminado queda retenido.", "Compárelo con lo que enviaron los programas y vuelva a enviar lo que falte. Revise lo retenido, que en parte puede haber salido: libérelo o descártelo y confirme este aviso. Compruebe el disco o la tarjeta."}},
	"data_fresh": {
		sentence{"The database was found damaged on {at} and no backup was there: Recado began anew. The damaged files are in {quarantine}.", "Stop Recado and bring a backup of yours back: recado restore FILE. Check the disk or card."},
		sentence{"La base de datos apareció dañada el {at} y no había copia: Recado ha empezado de cero. Los ficheros dañados están en {quarantine}.", "Pare Recado y recupere una copia suya: recado restore FICHERO. Compruebe el disco o la tarjeta."}},
	"rival": {
		sentence{"{program} runs[ (process {pid})] and may take the modems' ports.", "systemctl disable --now {service}"},
		sentence{"{program} está en marcha[ (proceso {pid})] y puede quedarse con los puertos de los módems.", "systemctl disable --now {service}"}},

	// What is plugged into USB and cannot be used.
	"usb_download_mode": {
		sentence{"{device}: a Qualcomm modem in download mode (QDL): its firmware has crashed or is damaged.", "Unplug it and plug it in again, and replace it if that does not help."},
		sentence{"{device}: un módem Qualcomm en modo de descarga (QDL): su firmware ha fallado o está dañado.", "Desenchúfelo y vuelva a enchufarlo; si no basta, cámbielo."}},
	"usb_hilink": {
		sentence{"{device}: a Huawei modem with HiLink firmware, which is a network card without AT port.", "It needs the stick firmware, or another modem."},
		sentence{"{device}: un módem Huawei con firmware HiLink, que es una tarjeta de red sin puerto AT.", "Necesita el firmware «stick», u otro módem."}},
	"usb_network_only": {
		sentence{"{device}: a modem that shows itself as a network card only.", "Switch it to a mode with serial ports."},
		sentence{"{device}: un módem que solo se muestra como tarjeta de red.", "Páselo a un modo con puertos serie."}},
	"usb_storage_mode": {
		sentence{"{device}: a modem that shows itself as a disk.", "Install usb-modeswitch and plug it in again."},
		sentence{"{device}: un módem que se muestra como disco.", "Instale usb-modeswitch y vuelva a enchufarlo."}},
	"usb_no_driver": {
		sentence{"{device}: a modem whose serial ports have no driver.", "Load the kernel module: modprobe option."},
		sentence{"{device}: un módem cuyos puertos serie no tienen controlador.", "Cargue el módulo del núcleo: modprobe option."}},
	"usb_unauthorized": {
		sentence{"{device}: a modem that is switched off in the system.", "Unplug it and plug it in again, or write 1 to /sys/bus/usb/devices/{path}/authorized."},
		sentence{"{device}: un módem que está desconectado en el sistema.", "Desenchúfelo y vuelva a enchufarlo, o escriba 1 en /sys/bus/usb/devices/{path}/authorized."}},
}
