"""What the demonstration's agents say: the campaign's script, answers to objections, kinds of action."""

from crm.item_states import Result

SCRIPT = (  # title, text, fields, choices: label and the step it leads to
    (
        "Abertura",
        "Olá, {{saudacao}}, falo com {{primeiro_nome}}? Aqui é {{agente}}, da Ramal Telecom. "
        "Esta ligação é gravada. Posso falar dois minutos sobre o seu contrato?",
        ("informed",),
        (("Pode falar", 1), ("Agora não", 4), ("Não é a pessoa", None)),
    ),
    (
        "Contrato",
        "O seu plano vence neste mês. Quem renova agora mantém o preço por doze meses e ganha a instalação "
        "do segundo ponto. Quer renovar?",
        ("segment",),
        (("Quer renovar", 2), ("Achou caro", 3), ("Não quer", None)),
    ),
    (
        "Fechamento",
        "Confirmo: {{nome}}, renovação por doze meses, mesmo endereço. Envio o protocolo por "
        "e-mail agora mesmo. Muito obrigado.",
        ("order", "notes"),
        (("Renovado", None),),
    ),
    (
        "Está caro",
        "Entendo. Temos também o plano sem o segundo ponto, por um valor menor. Quer que eu simule?",
        ("motive",),
        (("Aceitou a simulação", 2), ("Vai pensar", 4), ("Não quer", None)),
    ),
    (
        "Retorno",
        "Sem problema. Qual o melhor dia e horário, e em qual telefone posso ligar?",
        ("return_on", "other_phone"),
        (("Retorno combinado", None),),
    ),
)
BARRIERS = (  # name, and what to say step by step: title and text
    (
        "Não tenho tempo agora",
        (
            (
                "Peça um minuto",
                "Entendo, {{primeiro_nome}}, e não quero atrapalhar. É um minuto só: o preço de hoje vale "
                "até o vencimento. Posso resumir?",
            ),
            (
                "Combine outra hora",
                "Sem problema. Ligo na hora que for melhor: hoje mais tarde ou amanhã cedo? "
                "Em qual telefone?",
            ),
        ),
    ),
    (
        "Está caro",
        (
            (
                "Compare",
                "Sem renovar, o valor volta à tabela no mês que vem. Renovando, fica como está por doze "
                "meses.",
            ),
            (
                "Plano menor",
                "Se ainda assim pesa, temos o plano sem o segundo ponto. Quer que eu diga quanto fica?",
            ),
        ),
    ),
    (
        "Já tenho outra operadora",
        (
            (
                "Pergunte antes",
                "Posso perguntar o que pesou mais: preço, velocidade ou atendimento? Assim vejo se temos "
                "algo que valha a sua volta.",
            ),
        ),
    ),
    (
        "Como conseguiram meu número?",
        (
            (
                "LGPD",
                "O número está no cadastro do seu contrato conosco e só é usado para falar dele. Se "
                "preferir, bloqueio agora e ninguém mais liga. Para ver ou apagar seus dados: "
                "privacidade@ramal.example.",
            ),
        ),
    ),
    (
        "Quem atende não é o titular",
        (
            (
                "Sem dizer o assunto",
                "Olá, {{saudacao}}, aqui é {{agente}}, da Ramal Telecom. É assunto de contrato, e só posso "
                "tratar com {{nome}}. Qual o melhor horário para encontrar?",
            ),
        ),
    ),
)
ACTIONS = (  # name, its words, outcomes
    (
        "Oferta de renovação",
        "Olá, {{saudacao}}, {{primeiro_nome}}. O seu plano vence neste mês. Renovando hoje, o preço fica "
        "igual por doze meses e a instalação do segundo ponto é por nossa conta. Posso renovar?",
        (
            ("Renovou por doze meses", Result.SUCCESS),
            ("Renovou o plano menor", Result.SUCCESS),
            ("Não quer renovar", Result.FAILURE),
            ("Vai mudar de operadora", Result.FAILURE),
            ("Vai pensar", Result.CALLBACK),
        ),
    ),
    (
        "Contraproposta",
        "{{primeiro_nome}}, consegui com a supervisão dez por cento de desconto nos três primeiros meses, "
        "sem mudar o plano. Vale para hoje. Fechamos?",
        (
            ("Aceitou o desconto", Result.SUCCESS),
            ("Recusou", Result.FAILURE),
            ("Responde depois", Result.CALLBACK),
        ),
    ),
    (
        "Pesquisa de satisfação",
        "De zero a dez, quanto você recomendaria a Ramal Telecom a um amigo? E o que faria a nota subir?",
        (
            ("Respondeu", Result.SUCCESS),
            ("Não quis responder", Result.FAILURE),
            ("Pediu outro horário", Result.CALLBACK),
        ),
    ),
)
