"""Recognises messages that ask for a person, in English and Spanish.

A sentence counts only if the whole of it is the request: its words, courtesies around them, and the topic. So a question about
people in the documents ("who is the contact person for refunds?") does not count, whatever words it shares with a request.
"""

# ruff: noqa: E501 - a pattern reads best whole
from __future__ import annotations

import re

LONGEST = 240
"""Most characters of a request: a longer message describes a case, and a request within it may be a quotation."""

CLAUSES = 4
"""Most commas at which a sentence is split: each clause is matched against every pattern, which costs time."""

_SENTENCE = re.compile(r"[.!?¡¿…;\n]+")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def wants_person(text: str) -> bool:
    """Whether a sentence of a short message asks for a person, and none reports what somebody else says."""
    if len(text) > LONGEST:
        return False
    plain = text.lower().replace("’", "'")
    if any(_REPORTED.search(sentence) for sentence in _SENTENCE.split(plain)):
        return False
    return any(_is_wish(sentence) for sentence in _SENTENCE.split(plain))


def _is_wish(sentence: str) -> bool:
    """Whether the sentence, or one of its clauses, is the request. The other clauses may complain or excuse, but not ask."""
    clauses = [" ".join(_WORD.findall(clause)) for clause in sentence.split(",", CLAUSES)]
    whole = " ".join(filter(None, clauses))
    if any(wish.fullmatch(whole) for wish in _WISHES):
        return True
    for position, clause in enumerate(clauses):
        others = [*clauses[:position], *clauses[position + 1 :]]
        if any(wish.fullmatch(clause) for wish in _WISHES) and not any(_ASKING.search(other) for other in others):
            return True
    return False


def _either(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})"


# "If a customer says …" and "the button: talk to a person" report a request and do not make one.
_REPORTED = re.compile(
    r"\b(?:if|when|whenever|unless) (?:a|an|the|some|our|my|one|any|someone|somebody|customers?|users?|people|they|he|she)\b"
    r"|\b(?:says?|said|writes?|wrote|asks?|asked|means?|called|meaning|translate|button|message|phrase|text) ?[\"“«':]"
    r"|\b(?:si|cuando) (?:un|una|el|la|los|las|algún|alguna|alguien|mi|nuestro|nuestra)\b"
    r"|\b(?:dice|dicen|dijo|escribe|pone|significa|pregunta|botón|mensaje|frase|texto) ?[\"“«':]",
)
_ASKING = re.compile(
    r"\b(?:who|what|when|where|which|why|how|if|whether|quién|quiénes|qué|cuándo|dónde|cuál|cuáles|por qué|cómo|cuánto|cuánta"
    r"|quien|cuando|donde|cual|como|si)\b"
)

# English ------------------------------------------------------------------------------------------------------------------

_REAL = r"(?:(?:real|actual|live|living|human|proper|normal|physical|different) )*"
_NAMED = (
    rf"(?:(?:a|an|the|some|your|another|one of your|any) )?{_REAL}"
    + _either(
        "humans?", "human beings?", "persons?", "people", "agents?", "operators?", "representatives?", "reps?", "advis[oe]rs?",
        "assistants?", "managers?", "supervisors?", "employees?", "colleagues?", "team members?", "staff", "staff members?",
        "(?:support|service|customer service|customer support|sales) (?:agents?|persons?|people|team|reps?|representatives?|staff)",
        "customer (?:service|support|care)", "support", "help ?desk", "team", "expert", "specialist",
    )
)  # fmt: skip
_ANYBODY = (
    _either("someone", "somebody", "anyone", "anybody")
    + rf"(?: (?:else|human|real|{_REAL}))?(?: from (?:your |the )?(?:support|team|customer service|staff))?"
)
_WHO = _either(_NAMED, _ANYBODY)
_CERTAINLY_HUMAN = (
    r"(?:(?:a|an|the|some|another) )?"
    + _either(
        rf"{_REAL}(?:humans?|human beings?|persons?)",
        r"(?:(?:real|actual|live|human|support|service|customer service|customer support) )+(?:agents?|people|operators?|reps?|representatives?)",
        "(?:some(?:one|body)|any(?:one|body)) (?:real|human)", "agent", "operator", "representative",
    )
)  # fmt: skip
_TO_TALK = r"(?:talk|speak|chat|write) (?:directly )?(?:to|with)"
_BEGINNING = (
    r"(?:(?:hi|hello|hey|ok|okay|no|yes|so|but|and|then|well|sorry|excuse me|please|pls|just|now|thanks|thank you|listen"
    r"|look|cotorra|bot|stop|enough|in that case|actually|really|instead|still|again) )*"
)
_END = (
    r"(?: (?:from|in|on|at|of) (?:your|the|this|customer|our) [a-z ]{2,30})?"
    r"(?: (?:instead of|rather than|and not|not) (?:to |with )?(?:you|this|a|an|the|some)?(?: ?(?:bot|robot|machine|computer|ai|program))?)?"
    r"(?: (?:who|that) (?:can|could|will|actually|knows?|understands?|speaks?)(?: [a-z']+){0,6})?"
    r"(?: in (?:english|spanish|french|german|italian|portuguese))?"
    r"(?: (?:about|regarding|concerning|on) (?:this|that|it|my|our|a|an|the)(?: [a-z0-9'-]+){0,6})?"
    r"(?: (?:please|pls|now|right now|right away|asap|as soon as possible|today|instead|directly|here|thanks|thank you|at once"
    r"|immediately|urgently|again|then|if possible|for a (?:moment|minute|second)))*"
)
_ENGLISH = (
    rf"(?:(?:can|could|may|might|should|would) (?:i|we|you) )?(?:please |just |possibly |maybe )*{_TO_TALK} {_WHO}",
    rf"(?:is it possible|would it be possible|is there (?:a|any) (?:way|chance)) (?:for me )?to {_TO_TALK} {_WHO}",
    rf"(?:i|we|id)(?:'d| would)? (?:really |just |rather |much |also )*(?:wanna|want|like|love|wish|need|prefer|have|got|demand|ask)(?:ed)?"
    rf" (?:really |just |rather )?(?:to )?{_TO_TALK} {_WHO}",
    rf"(?:i|we)(?:'d| would)? (?:rather|sooner) {_TO_TALK} {_WHO}",
    rf"(?:i am|i'm) (?:asking|looking|trying|waiting) (?:for|to) (?:{_TO_TALK} )?{_CERTAINLY_HUMAN}",
    rf"(?:i|we|id)(?:'d| would)? (?:really |just |rather )*(?:want|like|need|prefer|demand)(?: to have| to see| to get)? {_CERTAINLY_HUMAN}",
    rf"(?:(?:can|could|may) (?:i|we) (?:please )?(?:have|get|see|reach)|give me|get me|bring me|send me|i'll take) {_CERTAINLY_HUMAN}",
    rf"(?:(?:can|could|would|will) you )?(?:please )?let me {_TO_TALK} {_WHO}",
    rf"(?:(?:can|could|would|will) you )?(?:please )?(?:connect|transfer|put|pass|forward|refer|redirect|hand|escalate|take|switch|route)"
    rf" (?:me|us|this|it|this chat|this conversation)(?: (?:on|over|through|up|back))?(?: (?:to|with))? {_WHO}",
    r"(?:please )?escalate(?: (?:this|it|me|my (?:case|issue|question|request)))?",
    rf"(?:(?:can|could|may) (?:i|we) (?:please )?be|i(?:'d| would)? (?:want|like|need) to be|please get me|get me)"
    rf" (?:connected|transferred|put|passed|handed|forwarded)(?: (?:on|over|through))? (?:to|with) {_WHO}",
    rf"(?:is|are) there (?:{_WHO})(?: available| here| around| online| there)? (?:that |who |whom )?(?:i|we) (?:can|could|may)"
    rf" (?:please )?(?:talk|speak|chat|write) (?:to|with)",
    rf"(?:is|are) there {_CERTAINLY_HUMAN}(?: (?:here|there|available|around|online|i can reach))?",
    r"is (?:anyone|anybody|someone|somebody) (?:real )?(?:there|here|home)",
    rf"(?:(?:can|could|would) )(?:{_WHO}) (?:please )?(?:call|phone|ring|contact|write to|get back to|get in touch with) (?:me|us)(?: back)?",
    rf"(?:i|we)(?:'d| would)? (?:want|like|need) (?:{_WHO}) to (?:call|phone|ring|contact|help|assist|write to|get back to) (?:me|us)(?: back)?",
    rf"(?:have|let|get) (?:{_WHO}) (?:call|phone|ring|contact|write to) (?:me|us)(?: back)?",
    r"how (?:can|could|do) (?:i|we) (?:talk|speak|chat|get|get through) (?:directly )?(?:to|with) (?:a|an|some)?"
    r" ?(?:real|actual|live|human)+ ?(?:human being|human|person|people|agent)?",
    r"(?:a |some |i need |i want |can i get |can i have )*human (?:help|support|assistance|contact|interaction)",
    r"(?:i )?(?:do not|don't|dont) (?:want|like)(?: to)? (?:talk(?:ing)?|speak(?:ing)?|chat(?:ting)?|deal(?:ing)?) (?:to|with)"
    r" (?:a|an|the|this|some) (?:bot|chatbot|robot|machine|computer|ai)(?: anymore| any more)?",
    rf"(?:(?:a|an|the) )?{_REAL}(?:human(?: being)?|agent|operator|representative|live person|real person|human person)",
    r"(?:(?:a|an) )?(?:real |live |human |support |customer service |customer support )+(?:agents?|persons?|people|operator|representative|rep)",
    r"(?:a )?person",
    r"(?:customer service|customer support|live chat|live support)",
)  # fmt: skip

# Spanish ------------------------------------------------------------------------------------------------------------------

_GENTE = (
    r"(?:(?:un|una|el|la|los|las|algún|alguna|algun|otro|otra|vuestro|vuestra|su|tu|con) )?"
    + _either(
        "personas?(?: (?:real|reales|de verdad|humana|física|de carne y hueso))?", "humanos?", "humana", "ser(?:es)? humanos?",
        "agentes?(?: (?:humano|real|de soporte|de atención(?: al cliente)?))?", "operador(?:a|es)?(?: (?:humano|humana|real))?",
        "asesor(?:a|es)?(?: (?:humano|humana|real))?", "representantes?", "emplead[oa]s?", "encargad[oa]", "responsable",
        "supervisor(?:a)?", "gerente", "compañer[oa]s?", "gestor(?:a)?", "técnic[oa]", "especialista", "equipo(?: de soporte)?",
        "soporte", "atención al cliente", "servicio al cliente", "asistente(?: (?:humano|real))?",
        "alguien(?: (?:real|humano|de verdad|más|del equipo|de soporte|de carne y hueso))?",
    )
)  # fmt: skip
_HUMANO = (
    r"(?:(?:un|una|el|la|algún|alguna|algun|otro|otra) )?"
    + _either(
        "personas?(?: (?:real|de verdad|humana|física|de carne y hueso))?", "humano", "humana", "ser humano",
        "agente(?: (?:humano|real|de soporte|de atención(?: al cliente)?))?", "operador(?:a)?(?: (?:humano|humana|real))?",
        "asesor(?:a)?(?: (?:humano|humana|real))?", "representante", "asistente (?:humano|real)",
        "alguien (?:real|humano|de verdad|de carne y hueso)",
    )
)  # fmt: skip
_PRINCIPIO = (
    r"(?:(?:hola|buenas|buenos días|buenas tardes|ok|vale|no|sí|pero|y|entonces|pues|bueno|perdona|perdón|disculpa|disculpe"
    r"|por favor|porfa|porfavor|gracias|oye|mira|mire|cotorra|bot|basta|ya|ahora|mejor|en ese caso|de verdad|solo|sólo"
    r"|simplemente|en realidad|todavía|es que|que) )*"
)
_HABLAR = (
    r"(?:hablar|chatear|conversar|charlar|comunicarme|contactar|escribir|escribirme|tratar) (?:directamente )?(?:con|a)"
)
_FIN = (
    r"(?: (?:de|en|del) (?:tu|su|vuestro|vuestra|la|el|los|atención|soporte|equipo)?(?: ?[a-záéíóúñ]+){1,4})?"
    r"(?: (?:en (?:vez|lugar) de|y no|no) (?:con )?(?:contigo|usted|este|esta|un|una|el|la)?(?: ?(?:bot|robot|máquina|maquina|ordenador|ia))?)?"
    r"(?: (?:que|para que) (?:me|nos|sepa|pueda|entienda|hable)(?: [a-záéíóúñ]+){0,6})?"
    r"(?: (?:sobre|acerca de|por|de|respecto a) (?:esto|eso|ello|mi|mis|un|una|el|la|este|esta|lo)(?: [a-záéíóúñ0-9-]+){0,6})?"
    r"(?: (?:por favor|porfa|porfavor|ahora|ahora mismo|ya|cuanto antes|hoy|directamente|aquí|gracias|urgente|urgentemente"
    r"|de inmediato|inmediatamente|otra vez|de nuevo|si es posible|si puede ser|un momento))*"
)
_QUERER = (
    r"(?:(?:yo )?(?:quiero|quisiera|querría|queria|quería|necesito|necesitaría|deseo|desearía|prefiero|preferiría|exijo|pido"
    r"|me urge|me gustaría|me gustaria|tengo que|queremos|necesitamos|quisiéramos|nos gustaría))"
)
_SPANISH = (
    rf"(?:{_QUERER} |(?:me )?(?:puedo|podría|podria|podemos|puede|puedes|sería posible|seria posible|es posible|se puede|cabe)"
    rf" |déjame |dejame |déjeme |hay forma de |hay manera de |hay alguna forma de )?(?:poder )?{_HABLAR} {_GENTE}",
    rf"{_QUERER} (?:a |ver a |que venga )?{_HUMANO}",
    rf"(?:{_QUERER} que )?(?:me |nos )(?:atienda|atiendan|ayude|ayuden|llame|llamen|contacte|contacten|conteste|responda|escriba)"
    rf" (?:por favor )?{_GENTE}",
    rf"{_QUERER} que (?:{_GENTE}) (?:me|nos) (?:atienda|ayude|llame|contacte|conteste|responda|escriba)",
    rf"{_QUERER} ser atendid[oa] por {_GENTE}",
    rf"(?:me |nos )?(?:puede|puedes|podría|podrías|podéis|pueden|podrían) (?:por favor )?(?:pasar|comunicar|poner|conectar|transferir"
    rf"|derivar|dirigir)(?:me|nos)? (?:en contacto )?(?:con|a) {_GENTE}",
    rf"(?:me|nos) (?:pasas|pasa|pones|pone|conectas|conecta|comunicas|comunica|transfieres|transfiere|derivas|deriva)"
    rf" (?:en contacto )?(?:con|a) {_GENTE}",
    rf"(?:pásame|pasame|páseme|paseme|pásenme|ponme|póngame|pongame|comunícame|comunicame|comuníqueme|comuniqueme|conéctame|conectame"
    rf"|conécteme|conecteme|transfiéreme|transfiereme|transfiérame|derívame|derivame|llévame|llevame|pásanos|ponnos)"
    rf" (?:ya )?(?:en contacto )?(?:con|a) {_GENTE}",
    rf"(?:puede|puedes|podría|podria|pueden) (?:{_GENTE}) (?:llamarme|contactarme|atenderme|escribirme|llamarnos|atendernos)",
    rf"(?:me|nos) (?:puede|podría|podria|pueden) (?:llamar|contactar|atender|escribir) {_GENTE}",
    rf"(?:dame|deme|consígueme|búscame|mándame|tráeme) (?:con |a )?{_HUMANO}",
    rf"hay (?:{_GENTE}) (?:disponible |ahí |aquí )?(?:con (?:quien|quién|el que|la que) (?:pueda|poder|puedo|podría) (?:hablar|chatear))",
    rf"hay (?:{_HUMANO})(?: (?:ahí|aquí|disponible|al otro lado|detrás))?",
    r"hay alguien (?:ahí|aquí|disponible|al otro lado)",
    rf"(?:cómo|como) (?:puedo |podría |podria )?(?:hablo|hablar|contacto|contactar) (?:directamente )?con {_HUMANO}",
    rf"(?:quiero |necesito )?(?:la )?ayuda de {_HUMANO}",
    r"(?:quiero |necesito )?(?:ayuda|atención|atencion|asistencia|soporte|contacto) human[oa]",
    r"no (?:quiero|me gusta|quisiera|deseo) (?:hablar|chatear|seguir hablando|tratar) con (?:un|una|este|esta|el|la)"
    r" (?:bot|robot|máquina|maquina|ordenador|ia|chatbot)",
    r"(?:(?:un|una) )?(?:humano|ser humano|agente(?: (?:humano|real|de soporte))?|operador(?:a)?(?: human[oa])?|asesor(?:a)?(?: human[oa])?"
    r"|persona(?: (?:real|de verdad|humana|de carne y hueso))?|representante)",
    r"(?:atención al cliente|servicio al cliente|atencion al cliente)",
)  # fmt: skip

_WISHES = (
    *(re.compile(f"{_BEGINNING}{wish}{_END}") for wish in _ENGLISH),
    *(re.compile(f"{_PRINCIPIO}{wish}{_FIN}") for wish in _SPANISH),
)
