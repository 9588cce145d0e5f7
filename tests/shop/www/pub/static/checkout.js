document.querySelector("#payment").addEventListener("submit", event => event.preventDefault());
