"""Who wants a person is heard, and who asks about people is answered from the documents."""

from __future__ import annotations

import timeit

import pytest

from rag.intents.person import LONGEST, wants_person

ENGLISH_WISHES = """\
can I talk to a person
Can I talk to a person?
Can I please speak to a human?
could I speak with someone from your team
human please
Human, please!
agent!
Agent
a human
real person
operator
representative
representative please
I want to speak to someone
I want to talk to a human.
I'd like to talk to somebody about my invoice
I would like to speak with a representative
I would rather talk to a person
I need a human
i need to talk to a real person
I need to speak to an agent asap
I need someone to call me
I just want to talk to a real human being
I want a real person, not a bot
let me talk to a human
Let me speak to your manager
please connect me to an agent
Connect me with a human agent
transfer me to customer service
Please transfer me to a live agent
put me through to a person
Can you put me through to someone?
can you connect me with support
could you hand me over to a colleague
hand this over to a human
pass me on to a person please
get me a human
give me a real person
escalate this
escalate this to a human please
is there anyone I can talk to?
Is there a human I can speak to?
Is there somebody I could talk to about this?
is anybody there?
is there a real person here
can somebody call me?
Can someone please contact me?
Have someone call me back
I don't want to talk to a bot
i dont want to talk to a robot
I do not want to speak to a machine anymore
human support
I need human help
talk to a human
speak to an agent
Chat with a live agent
This does not help. Can I talk to a human?
This is useless, let me speak to a person
No, I want to talk to someone
Thanks, but I'd like to speak to a human
how can I talk to a real person?
How do I speak to a live agent?
customer service please
I'm trying to speak to a human
Hi, can I speak with a person please?
would it be possible to talk to someone?
Can I be transferred to an agent?
Sorry, I'd prefer to talk to a human
can we speak to someone who understands this
I want to talk to a person about the delivery of my order
i wanna talk to a human
speak to human
can I speak to an agent in Spanish?
could someone from support call me back please
I don't understand, can I talk to a person?
"""

ENGLISH_QUESTIONS = """\
how do I contact the tax office?
who is the contact person for refunds?
can a person apply twice?
how do I add an agent?
How do I speak to a person?
How many people may read a private channel?
What is an agent?
Which agent answers questions about taxes?
who is my manager
Who approves my holidays?
Can an employee take a day off without notice?
Can I talk to my doctor online?
can I speak Spanish to the bot?
what does the human resources department do?
Human resources phone number
Is there a person in charge of security?
How do I talk to the API?
Can I connect an agent to Slack?
How does the bot hand a conversation over to a person?
What happens when a customer asks for a human?
What happens if someone says "I want to talk to a human"?
If a customer says, I want to talk to a person, what must I answer?
When a user writes "agent!", what does the bot do?
Can someone apply on behalf of another person?
can someone help me?
Can somebody else collect my parcel?
Can I give a person access to my account?
Do I need a representative to file a claim?
Do I need an agent to sell my house?
Can my representative speak for me at the hearing?
How do I become a real estate agent?
what is the role of the operator?
the person named in the form
personal data of a person
How do I delete what it knows about a person?
Where do I find the contact details of customer service?
When is customer service open?
What are the opening hours of support?
How do I escalate an incident?
who do I escalate an incident to?
What is the escalation policy?
I want to add a person to my policy
I want to name a representative
I need a person's consent
I want to appoint an agent for my tax affairs
I need an operator licence
Can I transfer money to a person?
How can I transfer my phone number to someone?
transfer 100 euros to a person
Please send the form to someone else
Put me on the list of agents
let me know who the supervisor is
Does the agent have to speak English?
How do agents talk to each other?
Is there a limit of people per room?
Is there anyone who must sign the contract besides me?
Are there people who need no visa?
What does "talk to a human" mean?
Translate: "I want to talk to a person"
I spoke to an agent yesterday and he said I must pay. Is that right?
They told me to speak to someone at the office: where is it?
How long does it take until someone answers my claim?
Does a human check the applications?
who are you?
are you human?
thank you
How do I reset my password?
I lost my card
Can I bring another person to the event?
What is the difference between agent and broker?
I want to talk to my manager about a raise, what is the process?
Can we speak to customers about prices?
can the bot talk to people in groups?
Can I talk to you in private?
please connect me to the VPN
transfer me to another office: how?
"""

SPANISH_WISHES = """\
quiero hablar con una persona
Quiero hablar con una persona.
¿Puedo hablar con una persona?
puedo hablar con alguien?
Pásame con un agente
pasame con un humano
Páseme con una persona, por favor
necesito que me atienda alguien
Necesito que me atienda una persona
necesito hablar con alguien
Necesito hablar con un humano
Necesito un humano
necesito una persona real
¡agente!
agente
Agente, por favor
humano
un humano por favor
persona real
una persona de verdad
operador
operadora por favor
Quisiera hablar con un representante
Me gustaría hablar con alguien del equipo
me gustaria hablar con una persona
Prefiero hablar con una persona
Preferiría hablar con alguien de soporte
quiero que me atienda una persona
Quiero que alguien me llame
Quiero que me llame alguien
que me llame alguien, por favor
¿Me puedes pasar con una persona?
¿Puedes pasarme con un agente?
¿Podrías ponerme en contacto con alguien?
Ponme con un agente
Ponme en contacto con una persona
Póngame con un operador
comunícame con un asesor
Comuníqueme con un asesor humano
Conéctame con un agente
Transfiéreme a un agente
derívame a un humano
¿Puede alguien llamarme?
¿Me puede llamar alguien?
¿Me puede atender una persona?
¿Hay alguien con quien pueda hablar?
¿Hay alguien ahí?
hay alguna persona con la que pueda hablar
¿Hay un humano ahí?
No quiero hablar con un bot
no quiero hablar con una máquina
No quiero seguir hablando con un robot
hablar con una persona
Hablar con un agente
ayuda humana
Necesito atención humana
atención al cliente
Esto no me sirve. Quiero hablar con una persona
Esto no me ayuda, pásame con alguien
Gracias, pero quiero hablar con un humano
Hola, quiero hablar con una persona por favor
Por favor, quiero hablar con alguien
¿Cómo puedo hablar con una persona?
como hablo con un humano
¿Es posible hablar con alguien?
¿Se puede hablar con una persona de verdad?
Quiero hablar con alguien sobre mi factura
Necesito hablar con una persona por mi pedido
déjame hablar con un humano
¿me pasas con un compañero?
quiero ser atendido por una persona
quiero hablar con un responsable
¿Podría hablar con un supervisor?
me urge hablar con alguien
necesito ayuda de una persona
No entiendo nada, ¿me pasas con alguien?
"""

SPANISH_QUESTIONS = """\
¿Cómo contacto con la oficina de Hacienda?
¿Quién es la persona de contacto para los reembolsos?
¿Puede una persona presentar dos solicitudes?
¿Cómo añado un agente?
¿Cuántas personas pueden leer un canal privado?
¿Qué es un agente?
¿Qué agente responde a las preguntas de impuestos?
¿Quién es mi responsable?
¿Quién aprueba mis vacaciones?
¿Puede un empleado tomarse un día libre sin avisar?
¿Puedo hablar con mi médico en línea?
¿Puedo hablar español con el bot?
¿Qué hace el departamento de recursos humanos?
teléfono de recursos humanos
¿Hay una persona encargada de la seguridad?
¿Hay un límite de personas por sala?
¿Cómo pasa el bot una conversación a una persona?
¿Qué pasa cuando un cliente pide hablar con un humano?
¿Qué pasa si alguien dice «quiero hablar con una persona»?
Si un cliente dice: quiero hablar con una persona, ¿qué respondo?
¿Puede alguien presentar la solicitud en mi nombre?
¿Alguien puede recoger mi paquete?
¿Puedo dar acceso a mi cuenta a otra persona?
¿Necesito un representante para reclamar?
¿Necesito un agente para vender mi casa?
¿Puede mi representante hablar por mí?
¿Cómo llego a ser agente inmobiliario?
¿Cuál es la función del operador?
la persona que figura en el formulario
datos personales de una persona
¿Cómo borro lo que sabe de una persona?
¿Cuál es el horario de atención al cliente?
¿Dónde está el teléfono de atención al cliente?
¿A quién escalo una incidencia?
¿Qué dice la política de escalado?
Quiero añadir una persona a mi póliza
Quiero nombrar un representante
Necesito el consentimiento de una persona
Necesito dar de alta a un empleado
¿Puedo transferir dinero a una persona?
Transferir 100 euros a una persona
¿Cómo transfiero mi número a alguien?
Envía el formulario a otra persona, ¿a quién?
Dime quién es el supervisor
¿El agente tiene que hablar inglés?
¿Cómo hablan los agentes entre sí?
¿Debe firmar alguien más el contrato?
¿Hay personas que no necesitan visado?
¿Qué significa «hablar con un humano»?
Traduce: «quiero hablar con una persona»
Ayer hablé con un agente y me dijo que debía pagar. ¿Es cierto?
Me dijeron que hablara con alguien de la oficina: ¿dónde está?
¿Cuánto tarda alguien en responder a mi reclamación?
¿Revisa un humano las solicitudes?
¿quién eres?
¿eres humano?
gracias
¿Cómo restablezco mi contraseña?
He perdido mi tarjeta
¿Puedo llevar a otra persona al evento?
¿Qué diferencia hay entre agente y corredor?
¿Puedo cambiar de asesor fiscal?
¿Quién atiende al cliente en agosto?
Me atendió una persona muy amable
¿Qué persona del equipo lleva los contratos?
Quiero hablar con mi jefe, ¿cómo pido una reunión?
¿Puedo hablar con el bot en privado?
¿Puedo escribir a disco?
"""


def cases(listed: str) -> list[str]:
    return listed.splitlines()


@pytest.mark.parametrize("text", cases(ENGLISH_WISHES) + cases(SPANISH_WISHES))
def test_a_wish_for_a_person_is_heard(text: str) -> None:
    assert wants_person(text)


@pytest.mark.parametrize("text", cases(ENGLISH_QUESTIONS) + cases(SPANISH_QUESTIONS))
def test_a_question_about_people_is_a_question(text: str) -> None:
    assert not wants_person(text)


@pytest.mark.parametrize("listed", [ENGLISH_WISHES, ENGLISH_QUESTIONS, SPANISH_WISHES, SPANISH_QUESTIONS])
def test_the_table_is_large_and_repeats_nothing(listed: str) -> None:
    assert len(set(cases(listed))) == len(cases(listed)) >= 60


def test_a_long_story_is_answered_whatever_stands_in_it() -> None:
    assert wants_person("I want to talk to a person.")
    assert not wants_person("I want to talk to a person. " + "That is what the letter says. " * (LONGEST // 25))


@pytest.mark.parametrize(
    "piece", ["please ", "a ", "can i ", "real ", "human ", "con una persona ", "que ", ", ", "de la "]
)
def test_no_message_takes_long_to_look_at(piece: str) -> None:
    text = ("i want to talk to a " + piece * 200)[:LONGEST]
    assert min(timeit.repeat(lambda: wants_person(text), number=1, repeat=3)) < 0.05
