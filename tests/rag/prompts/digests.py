"""Digests of what the renderer makes of the golden cases, by prompt VERSION: never changed, only added to."""

from __future__ import annotations

from collections.abc import Mapping

GOLDEN: Mapping[str, Mapping[str, str]] = {
    "1": {
        "answer en": "2c244a192b7a63d32f6575b38adb0746077525368cc2d83f7bf936f8da5fbe18",
        "answer es": "09261fb7af66b786148057b36fb1b92646b7b84d3beba2afacbe965a569b13df",
        "answer from several passages en": "c586c8c1f446109c285ca401e9306529699be2fbf6f4aaa55698669811258c35",
        "answer from several passages es": "0e4143e33e5181d94d189e1dacbbcf3d2acc29141cf91fd2ecabea2bc6a877d6",
        "answer from no passage en": "53d3ed8d79ce1daafd0c96b44b1cb2d45f773d29c806c2de35e71184036f2e85",
        "answer from no passage es": "44ca64b5a9e14c4d28560cd3cea192e2a262918bebf250ecafadfd6ec3ba03e4",
        "answer with summary en": "116beee39e93af57ee3cc846796387af61b9b2da248de3944f176278b369a96b",
        "answer with summary es": "0f46d3fa0b72a865a6dcc44e4f25d9994b23c1dd013ec10cd5478af86268fb31",
        "answer with notes en": "2c394954011160d2eba3e87ea336f7477b344f6af75ee3b8c429bd78e45cc7c5",
        "answer with notes es": "5f547552288ae0a08e083f0d127b5d9bdc66a3f9612a5009f56d9e381d649524",
        "answer with summary and notes en": "0192bdd012d558762b861d0cb52168b5e65d701400d3db7071ef9304f6d46993",
        "answer with summary and notes es": "97a04b1ee5f965816070abab18b00e685ecdc26f9e3ea2d7b0eac8589eef0af5",
        "answer in a talk en": "97f302a3861f4d9d9d9090c9bc73228b39c5b6204224805db9ae480f7788d510",
        "answer in a talk es": "31402d1dc27f5d87e01ae8571095cb4d24422f8ceb200e02ffd991452e014732",
        "answer in a group en": "fb090cf1e2f1e0f75f16050c7a562df6b3215e73d63c5fc15bdaefe285344f2b",
        "answer in a group es": "a99ffb9e90ca1a82b902635d47b3cdfec4a2f5bfb5677456f6bf0185143879ee",
        "rewriting en": "dd2a46eedbc78900f1510d5715b5471c81da5c5bd45af641a83b98c166423da1",
        "rewriting es": "681f8b7c4f1fc9af0cc0e6ff42398a8be508b1f4507423bc5f3660a705c79931",
        "rewriting in a group en": "7874a51af8b900eb4b40d98a3e97be433e610ac6802707f1acdd2cf4c84e2edc",
        "rewriting in a group es": "a4e1af61f2c58080f6a9a1cce530f8a45f3d07a0a0306a950449699ebe35a2aa",
        "first summary en": "5f482f466fed4b53e70521b6a4fd1a386c139d70c88983748961343824af32af",
        "first summary es": "93b7132c60fb981ad5986cc7859187b5ec7909f35de6c6f6acbed483625cf8b3",
        "next summary en": "4e8732bac6139ca0cedeca888e8b7fec21fce319d79cc1ba09be68ae53ba9875",
        "next summary es": "ea24adebc1eeb34e98d37376a29afc5b74ea09d3d047f2d364453423193d6168",
        "answer in a language without instructions": "2c244a192b7a63d32f6575b38adb0746077525368cc2d83f7bf936f8da5fbe18",
        "answer to an odd question": "6590da8fdc40a1fbd5341cc82eb96dcd8e31901de46f6adba9e315c0ea9c79b7",
        "answer from a long passage": "2340ecd37f2e749a6a959cb907874e063b87610e9a02d029a074c2cc6d76efd4",
        "answer from code and tables": "06ae145706814de96cdad3cf57041f0a63641603247b6b4125e19f4f70d2b318",
        "answer from odd signs": "e551b65e0720e6f28631a1f5c8d2fdca9ecc376cacf295b70c11a38a94f834a0",
        "answer from forged frames": "69f430734799e57019eb1ea42cc82b86590b8f44d1109fa3a2be734e77e843f1",
        "answer from orders": "cfca1189f18950a11e871ba083163d4b8afa61bc16aced579390cacaeb546593",
        "answer from an order in a title": "1d50ad71da837be80085d2328fd87867dc6163961e60cdc0f3f4c4b799fb6396",
    },
}
